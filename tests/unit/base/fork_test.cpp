#include "agent/base/fork.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>

using namespace plexvol::base;  // NOLINT(google-build-using-namespace)

TEST_CASE("fork: a child ends with what its work returns, and runs no exit handler") {
  auto pipe = make_pipe();
  REQUIRE(pipe.has_value());
  static int written = -1;
  written = pipe->write_end.get();
  const pid_t child = fork_child([] {
    std::atexit([] { (void)::write(written, "x", 1); });
    return 42;
  });
  REQUIRE(child > 0);
  pipe->write_end.reset();
  char byte = 0;
  CHECK(::read(pipe->read_end.get(), &byte, 1) == 0);
  const auto status = wait_for_end(child);
  REQUIRE(status.has_value());
  CHECK(WIFEXITED(*status));
  CHECK(WEXITSTATUS(*status) == 42);
  CHECK_FALSE(wait_for_end(child).has_value());
}

TEST_CASE("fork: both ends of a pipe are closed by exec") {
  const auto pipe = make_pipe();
  REQUIRE(pipe.has_value());
  const int ends[] = {pipe->read_end.get(), pipe->write_end.get()};
  const pid_t child = fork_child([&] {
    const std::string script = "[ ! -e /proc/self/fd/" + std::to_string(ends[0]) +
                               " ] && [ ! -e /proc/self/fd/" + std::to_string(ends[1]) + " ]";
    return ::execl("/bin/sh", "sh", "-c", script.c_str(), nullptr);
  });
  REQUIRE(child > 0);
  CHECK(wait_for_end(child) == 0);
}
