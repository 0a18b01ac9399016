#include "agent/api/text.h"

#include <doctest/doctest.h>

using plexvol::in_quotes;
using plexvol::printable;
using plexvol::printable_lines;

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

TEST_CASE("printable text cannot steer a terminal [S6]") {
  CHECK(printable("a\x1b]0;title\x07z") == "a?]0;title?z");
  // C1 controls, as UTF-8 and as bare bytes: U+009B begins an escape sequence as ESC [ does.
  CHECK(printable("\xc2\x9b"
                  "31m") == "??31m");
  CHECK(printable("\x9b"
                  "31m") == "?31m");
  CHECK(printable("\x7f") == "?");
  // What turns the text around or hides in it.
  CHECK(printable("a\xe2\x80\xae"
                  "b\xe2\x80\x8b"
                  "c\xef\xbb\xbf") == "a???b???c???");
  // Overlong, cut, and no character at all.
  CHECK(printable("\xc0\x9b\xe0\x82\x9b\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82") ==
        std::string(14, '?'));
  const std::string text = "größer – 東京 \xf0\x9f\x92\xbe";
  CHECK(printable(text) == text);
}

TEST_CASE("printable text is one line, unless its lines are to stay") {
  CHECK(printable("a\nb\tc\r") == "a b c ");
  CHECK(printable_lines("a\nb\tc\r\x1b") == "a\nb c ?");
  CHECK(in_quotes("\xc2\x9b"
                  "31m\n") == "\"??31m?\"");
}
