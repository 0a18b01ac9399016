#include "agent/process/child.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"

using namespace std::chrono_literals;
using plexvol::process::look_in_children;
using plexvol::process::run_in_child;
using Findings = std::vector<std::optional<int>>;

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

TEST_CASE("many looks in a child: what hangs is passed over, the rest is found [D16]") {
  const auto look = [](std::size_t at) { return at == 2 ? pause() : static_cast<int>(at) * 10; };
  CHECK(look_in_children(5, look, 200ms) == Findings{0, 10, std::nullopt, 30, 40});
  CHECK(look_in_children(0, look, 200ms).empty());
  plexvol::process::reap_abandoned();
}

TEST_CASE("many looks in a child: after four that hang nothing is looked at any more [S3]") {
  const auto look = [](std::size_t at) { return at < 4 ? pause() : 1; };
  CHECK(look_in_children(6, look, 100ms) == Findings(6));
  plexvol::process::reap_abandoned();
}

TEST_CASE("many looks in a child: slow ones are no hang") {
  const auto look = [](std::size_t) { return poll(nullptr, 0, 40) + 1; };
  CHECK(look_in_children(6, look, 150ms) == Findings(6, 1));
  plexvol::process::reap_abandoned();
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

TEST_CASE("no second child is started for what another one hangs on [O13]") {
  if (!plexvol::support::can_use_loop_devices()) return;
  const plexvol::support::TemporaryDirectory directory;
  const plexvol::support::LoopDevice device(directory.path() / "image", 64U << 20U);
  plexvol::process::BoostRunner runner;
  plexvol::process::run_checked(
      runner, {.argv = {"/sbin/mkfs.ext4", "-q", "-F", device.path()}, .input = {}});
  const plexvol::support::Mount mount(device.path(), directory.path() / "mnt", "ext4");
  plexvol::process::run_checked(runner,
                                {.argv = {"/sbin/fsfreeze", "-f", mount.point()}, .input = {}});
  const std::string file = mount.point() + "/file";
  const auto hang = [path = file.c_str()] {
    return open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0 ? 1 : 0;
  };
  const auto first = run_in_child(hang, 200ms, "the device");
  const auto second = run_in_child([] { return 0; }, 30s, "the device");
  const auto other = run_in_child([] { return 0; }, 30s, "another");
  plexvol::process::run_checked(runner,
                                {.argv = {"/sbin/fsfreeze", "-u", mount.point()}, .input = {}});
  CHECK_FALSE(first.has_value());
  CHECK_FALSE(second.has_value());
  CHECK(other == 0);
  while (run_in_child([] { return 0; }, 30s, "the device") != 0) {
    std::this_thread::sleep_for(10ms);
  }
}
