#include "agent/process/child.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>

using namespace std::chrono_literals;
using plexvol::process::run_in_child;

TEST_CASE("work in a child gives its result") {
  CHECK(run_in_child([] { return 42; }, 30s) == 42);
}

TEST_CASE("work in a child that does not end is given up") {
  const auto started = std::chrono::steady_clock::now();
  CHECK_FALSE(run_in_child([] { return pause(); }, 100ms).has_value());
  CHECK(std::chrono::steady_clock::now() - started < 30s);
  plexvol::process::reap_abandoned();
}

TEST_CASE("work in a child that dies has no result") {
  CHECK_FALSE(run_in_child([] { return kill(getpid(), SIGKILL); }, 30s).has_value());
}

TEST_CASE("a child keeps none of our descriptors") {
  // Its own first one is 3.
  const int ours = fcntl(STDOUT_FILENO, F_DUPFD, 10);
  const int high = fcntl(STDOUT_FILENO, F_DUPFD, 1500);
  REQUIRE(ours >= 10);
  const auto is_closed = [](int number) {
    return run_in_child([number] { return fcntl(number, F_GETFD) < 0 ? 1 : 0; }, 30s);
  };
  CHECK(is_closed(ours) == 1);
  if (high >= 0) {
    CHECK(is_closed(high) == 1);
    close(high);
  }
  close(ours);
}

TEST_CASE("descriptors are marked close-on-exec on old kernels, too") {
  const int ours = dup(STDOUT_FILENO);
  REQUIRE(fcntl(ours, F_GETFD) == 0);
  plexvol::process::mark_listed_descriptors_close_on_exec();
  CHECK(fcntl(ours, F_GETFD) == FD_CLOEXEC);
  CHECK(fcntl(STDERR_FILENO, F_GETFD) == 0);
  close(ours);
}
