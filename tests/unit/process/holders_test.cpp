#include "agent/process/holders.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"

using plexvol::process::holders_to_text;
using plexvol::process::list_openers;

TEST_CASE("who has a block device open is named") {
  if (!plexvol::support::can_use_loop_devices()) return;
  const plexvol::support::TemporaryDirectory directory;
  const plexvol::support::LoopDevice device(directory.path() / "image", 1U << 20U);
  CHECK(list_openers(device.major(), device.minor()).empty());
  CHECK(holders_to_text(device.path()).starts_with("nothing that can be seen"));
  const int held = open(device.path().c_str(), O_RDONLY | O_CLOEXEC);
  CHECK(list_openers(device.major(), device.minor()) == std::vector<pid_t>{getpid()});
  CHECK(holders_to_text(device.path()).starts_with("process " + std::to_string(getpid()) + " ("));
  close(held);
}

TEST_CASE("a block device that is gone is held by nobody") {
  CHECK(holders_to_text("/dev/no-such-device") == "nothing: the device no longer exists");
  CHECK(holders_to_text("/etc/passwd") == "nothing: the device no longer exists");
}
