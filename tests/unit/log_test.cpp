#include "agent/log.h"

#include <doctest/doctest.h>

#include <thread>

namespace plexvol::log {

TEST_CASE("log: the message is quoted, and fields only where they must be") {
  CHECK(to_line("starts", {}) == R"(msg="starts")");
  CHECK(to_line("made v1", {{"size", "1Gi"}, {"pool", "fast pool"}, {"node", ""}}) ==
        R"(msg="made v1" size=1Gi pool="fast pool" node="")");
  CHECK(to_line("x", {{"a", "b=c"}, {"d", R"(C:\)"}, {"e", R"(say "no")"}}) ==
        R"(msg="x" a="b=c" d="C:\\" e="say \"no\"")");
}

TEST_CASE("log: no text of a stranger can begin a line of its own") {
  CHECK(to_line("lvs: failed\n2026-01-01 error msg=\"all lost\"", {}) ==
        R"(msg="lvs: failed\n2026-01-01 error msg=\"all lost\"")");
  CHECK(to_line("a\tb", {{"name", "v\r\x1b[2J\x7f"}}) == R"(msg="a\tb" name="v\x0d\x1b[2J\x7f")");
}

TEST_CASE("log: no text of a stranger reaches the terminal as a control character [S6]") {
  CHECK(to_line("\xc2\x9b"
                "2J\x9b",
                {{"name", "\xe2\x80\xae"}}) == R"(msg="\xc2\x9b2J\x9b" name="\xe2\x80\xae")");
}

TEST_CASE("log: text that is not ASCII stays as it is") {
  CHECK(to_line("größer", {{"name", "größer"}}) == R"(msg="größer" name=größer)");
}

TEST_CASE("log: a scope adds its field to the lines of its thread, while it lives") {
  {
    const LogScope call("call", "/v1/mount");
    {
      const LogScope volume("volume", "v 1");
      CHECK(to_line("m", {{"took", "3ms"}}) == R"(msg="m" call=/v1/mount volume="v 1" took=3ms)");
      std::string elsewhere;
      std::thread([&elsewhere] { elsewhere = to_line("m", {}); }).join();
      CHECK(elsewhere == R"(msg="m")");
    }
    CHECK(to_line("m", {}) == R"(msg="m" call=/v1/mount)");
  }
  CHECK(to_line("m", {}) == R"(msg="m")");
}

}  // namespace plexvol::log
