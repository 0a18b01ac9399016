#include "agent/manifest/yaml.h"

#include <doctest/doctest.h>

#include "agent/api/error.h"

using plexvol::Error;
using plexvol::manifest::to_yaml;

namespace {

std::string yaml_of_text(const std::string& json_string) {
  return to_yaml(R"({"a":)" + json_string + '}');
}

}  // namespace

TEST_CASE("yaml: objects and lists of them, as kubectl shows them") {
  CHECK(to_yaml(R"({"spec":{"terms":[{"key":"k","values":["a","b"]},{"key":"l"}],"empty":{},)"
                R"("none":[]},"kind":"K","lists":[["a",[]],[{"x":1}]],"apiVersion":"v1"})") ==
        "apiVersion: v1\n"
        "kind: K\n"
        "lists:\n"
        "- - a\n"
        "  - []\n"
        "- - x: 1\n"
        "spec:\n"
        "  empty: {}\n"
        "  none: []\n"
        "  terms:\n"
        "  - key: k\n"
        "    values:\n"
        "    - a\n"
        "    - b\n"
        "  - key: l\n");
  CHECK(to_yaml("{}") == "{}\n");
}

TEST_CASE("yaml: numbers and truth are as in JSON") {
  CHECK(to_yaml(R"({"a":true,"b":-7,"c":18446744073709551615,"d":null})") ==
        "a: true\nb: -7\nc: 18446744073709551615\nd: null\n");
}

TEST_CASE("yaml: a text that is read as a text by itself has no quotes") {
  for (const char* text :
       {"v1", "ReadWriteOnce", "plexvol/plexvol", "kubernetes.io/hostname", "/dev/vg0/data", "10Gi",
        "1536Mi", "a-b_c.d", "nope", "Gi", "yesterday", "e3"}) {
    CHECK(yaml_of_text('"' + std::string(text) + '"') == "a: " + std::string(text) + '\n');
  }
}

TEST_CASE("yaml: a text that might be read as anything else is in quotes") {
  for (const char* text :
       {"",     "y",    "N",     "yes", "No",         "on",   "OFF", "true", "False", "null",
        "~",    "1",    "-1",    "1.5", "1e3",        "0x1f", "0o7", ".5",   ".inf",  "1_000",
        "1:30", "1i",   "1 Gi",  "1G",  "2001-01-01", "<<",   "=",   "-",    "- a",   "a: b",
        "a #b", " a",   "a ",    "#a",  "&a",         "*a",   "!a",  "|",    ">",     "'a'",
        "%a",   "@a",   "`a`",   "{a}", "[a]",        "a,b",  "a:",  "?",    "---",   "...",
        "100",  "1Gib", "0b101", "+1",  "12e03",      "a=b",  ":a",  "1gi",  "TRUE",  "a*b"}) {
    const std::string in_quotes = '"' + std::string(text) + '"';
    CHECK(yaml_of_text(in_quotes) == "a: " + in_quotes + '\n');
    CHECK(to_yaml('{' + in_quotes + ":1}") == in_quotes + ": 1\n");
  }
}

TEST_CASE("yaml: what does not print as ASCII is escaped, also beyond 16 bits") {
  CHECK(yaml_of_text(R"("a\"b\\c\n\t\u001b[2J\u007f")") ==
        "a: \"a\\\"b\\\\c\\u000a\\u0009\\u001b[2J\\u007f\"\n");
  CHECK(yaml_of_text("\"\xc3\xa4\xe2\x80\xae\xf0\x9f\x98\x80\"") ==
        "a: \"\\u00e4\\u202e\\U0001f600\"\n");
}

TEST_CASE("yaml: what is no object of reasonable depth is refused") {
  for (const std::string text : {"", "[]", "1", "{", "{\"a\":\"\xff\"}", "{} {}"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(to_yaml(text), Error);
  }
  const auto nested = [](std::size_t depth) {
    return R"({"a":)" + std::string(depth, '[') + '1' + std::string(depth, ']') + '}';
  };
  CHECK_NOTHROW(to_yaml(nested(30)));
  CHECK_THROWS_AS(to_yaml(nested(40)), Error);
  CHECK_THROWS_AS(to_yaml(nested(100'000)), Error);
}
