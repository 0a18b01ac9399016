#include "agent/filesystem/path_filter.h"

#include <doctest/doctest.h>

#include <string>

using plexvol::filesystem::is_below;
using plexvol::filesystem::PathFilter;

TEST_CASE("path filter: what is at or below a directory, and not beside it") {
  PathFilter filter;
  CHECK(filter.empty());
  CHECK_FALSE(filter.covers("/a"));
  filter.add("/a/b");
  CHECK(filter.covers("/a/b"));
  CHECK(filter.covers("/a/b/c"));
  CHECK(filter.covers("/a/b (deleted)"));
  CHECK_FALSE(filter.covers("/a"));
  CHECK_FALSE(filter.covers("/a/bc"));
  CHECK(is_below("/x", "/"));
  CHECK_FALSE(is_below("/ab", "/a"));
}

TEST_CASE("path filter: of many directories only what they have in common is kept [S4]") {
  PathFilter filter;
  for (int i = 0; i < 20000; ++i) filter.add("/pods/p" + std::to_string(i) + "/v");
  CHECK(filter.covers("/pods/p77/v/file"));
  CHECK_FALSE(filter.covers("/other"));
  filter.add("/other");
  CHECK(filter.covers("/other/x"));
}
