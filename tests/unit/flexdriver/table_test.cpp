#include "flexdriver/commands/table.h"

#include <doctest/doctest.h>

using plexvol::driver::format_table;

TEST_CASE("table: columns are as wide as their widest cell, and lines do not end in blanks") {
  CHECK(format_table({{"NAME", "SIZE"}, {"a-longer-name", "1Gi"}}) ==
        "NAME            SIZE\na-longer-name   1Gi\n");
}

TEST_CASE("table: an empty cell is a dash, and a short row ends early") {
  CHECK(format_table({{"A", "B", "C"}, {"", "", ""}, {"x"}}) == "A   B   C\n-   -   -\nx\n");
  CHECK(format_table({}) == "");
}

TEST_CASE("table: a character of several bytes is one column wide") {
  CHECK(format_table({{"\xc3\xbc", "B"}, {"xx", "y"}}) == "\xc3\xbc    B\nxx   y\n");
}

TEST_CASE("table: control characters do not reach the terminal") {
  CHECK(format_table({{"a\x1b[2J\nb", "c"}}) == "a?[2J b   c\n");
}
