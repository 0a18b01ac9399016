#include "agent/kube/watch_lines.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/api/error.h"

namespace plexvol::kube {

namespace {

ErrorCode code_of_line(const std::string& line) {
  try {
    decode_watch_line(line, "WATCH /x");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).starts_with("WATCH /x: "));
    return error.code();
  }
  FAIL_CHECK("accepted");
  return ErrorCode::InvalidArgument;
}

}  // namespace

TEST_CASE("lines come whole, wherever the parts of them end") {
  const std::string text = "one\n\ntwo\r\n   \nthree\n";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    CAPTURE(size);
    Lines lines("x");
    std::vector<std::string> seen;
    for (std::size_t at = 0; at < text.size(); at += size) {
      CHECK(lines.add(std::string_view(text).substr(at, size), [&](std::string_view line) {
        seen.emplace_back(line);
        return true;
      }));
    }
    CHECK(seen == std::vector<std::string>{"one", "two\r", "three"});
    CHECK_FALSE(lines.has_rest());
  }
}

TEST_CASE("no line comes after the one that was enough, and none that has no end") {
  Lines lines("x");
  std::vector<std::string> seen;
  const auto until_two = [&](std::string_view line) {
    seen.emplace_back(line);
    return line != "two";
  };
  CHECK(lines.add("one\ntw", until_two));
  CHECK(lines.has_rest());
  CHECK_FALSE(lines.add("o\nthree\n", until_two));
  CHECK(seen == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a line has a longest length") {
  Lines lines("WATCH /x", 10);
  const auto accept = [](std::string_view) { return true; };
  CHECK(lines.add("0123456789\n01234", accept));
  CHECK(lines.add("56789", accept));
  CHECK_THROWS_WITH_AS(lines.add("x", accept), "WATCH /x: a line has more than 10 bytes", Error);
}

TEST_CASE("lines of a watch") {
  const WatchLine added = decode_watch_line(
      R"({"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"}}})", "x");
  REQUIRE(added.event);
  CHECK(added.event->kind == WatchEvent::Kind::Added);
  CHECK(added.event->resource_version == "7");
  CHECK(added.event->object == R"({"metadata":{"name":"a","resourceVersion":"7"}})");
  const auto kind = [](const std::string& type) {
    return decode_watch_line(R"({"type":")" + type + R"(","object":{}})", "x").event.value().kind;
  };
  CHECK(kind("MODIFIED") == WatchEvent::Kind::Modified);
  CHECK(kind("DELETED") == WatchEvent::Kind::Deleted);
  CHECK(kind("BOOKMARK") == WatchEvent::Kind::Bookmark);
  const WatchLine expired =
      decode_watch_line(R"({"type":"ERROR","object":{"kind":"Status","code":410}})", "x");
  CHECK(expired.is_expired);
  CHECK_FALSE(expired.event);
  CHECK_FALSE(decode_watch_line(R"({"type":"NEW","object":{}})", "x").event);
}

TEST_CASE("what an event has nested too deeply is left out") {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  const WatchLine line = decode_watch_line(
      R"({"type":"ADDED","object":{"metadata":{"name":"a","x":)" + deep + R"(},"y":[1]}})", "x");
  const std::string object = line.event.value().object;
  CHECK(object.size() < 1000);
  CHECK(object.find(R"("name":"a")") != std::string::npos);
  CHECK(object.ends_with(R"("y":[1]})"));
}

TEST_CASE("what is no event, and what an error event says") {
  CHECK(code_of_line("garbage") == ErrorCode::Internal);
  CHECK(code_of_line("[]") == ErrorCode::Internal);
  CHECK(code_of_line("{}") == ErrorCode::Internal);
  CHECK(code_of_line(R"({"type":"ADDED"})") == ErrorCode::Internal);
  CHECK(code_of_line(R"({"type":"ADDED","object":5})") == ErrorCode::Internal);
  CHECK(code_of_line(R"({"type":5,"object":{}})") == ErrorCode::Internal);
  CHECK(code_of_line(R"({"type":"ERROR","object":{"code":500,"message":"etcd"}})") ==
        ErrorCode::Unavailable);
  CHECK(code_of_line(R"({"type":"ERROR","object":{"code":403}})") == ErrorCode::Internal);
  CHECK(code_of_line(R"({"type":"ERROR","object":{"code":"410"}})") == ErrorCode::Unavailable);
}

}  // namespace plexvol::kube
