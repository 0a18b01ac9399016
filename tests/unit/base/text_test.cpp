#include "agent/base/text.h"

#include <doctest/doctest.h>

namespace {

using plexvol::base::join;
using plexvol::base::split;
using plexvol::base::split_filled;
using Parts = std::vector<std::string>;

TEST_CASE("text: split keeps empty parts, but for one at the end") {
  CHECK(split("", ':') == Parts{});
  CHECK(split("a", ':') == Parts{"a"});
  CHECK(split("a::b:", ':') == Parts{"a", "", "b"});
  CHECK(split(":a", ':') == Parts{"", "a"});
  CHECK(split(std::string_view("a\0b", 3), '\0') == Parts{"a", "b"});
}

TEST_CASE("text: split_filled leaves empty parts out") {
  CHECK(split_filled("//a//b/", '/') == Parts{"a", "b"});
  CHECK(split_filled("\n\n", '\n') == Parts{});
}

TEST_CASE("text: join puts a separator between parts, empty ones too") {
  CHECK(join({}) == "");
  CHECK(join({"n1"}) == "n1");
  CHECK(join({"n1", "n2"}) == "n1, n2");
  CHECK(join({"", "b"}, "-") == "-b");
}

}  // namespace
