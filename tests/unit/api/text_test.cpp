#include "agent/api/text.h"

#include <doctest/doctest.h>

using plexvol::in_quotes;

TEST_CASE("quoted text stays on one line and stays short") {
  CHECK(in_quotes("") == "\"\"");
  CHECK(in_quotes("a b") == "\"a b\"");
  CHECK(in_quotes("a\n\t\x1b[31m\x7f") == "\"a???[31m?\"");
  CHECK(in_quotes(std::string(80, 'x')) == '"' + std::string(80, 'x') + '"');
  CHECK(in_quotes(std::string(81, 'x')) == '"' + std::string(80, 'x') + "...\"");
}

TEST_CASE("quoted text is never cut within a character") {
  const std::string text = std::string(79, 'x') + "\xc3\xbc and more";
  CHECK(in_quotes(text) == '"' + std::string(79, 'x') + "...\"");
  CHECK(in_quotes(std::string(200, '\x80')) == "\"...\"");
}
