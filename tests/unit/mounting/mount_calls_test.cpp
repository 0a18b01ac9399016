#include "agent/mounting/mount_calls.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace plexvol;            // NOLINT(google-build-using-namespace)
using namespace plexvol::mounting;  // NOLINT(google-build-using-namespace)
using std::chrono::steady_clock;

TEST_CASE("mount calls: a call waits, is told its device, and ends") {
  std::vector<std::string> changes;
  MountCalls calls([&](const std::string& volume) { changes.push_back(volume); });
  const std::string id = calls.begin("v");
  CHECK(calls.counts("v").waiting == 1);
  CHECK(calls.counts("w").waiting == 0);
  calls.complete("v", {.device = "/dev/x", .major = 1, .minor = 2});
  CHECK(calls.counts("v").waiting == 0);
  CHECK(calls.counts("v").mounting == 1);
  CHECK(calls.wait(id, steady_clock::now()).device == "/dev/x");
  calls.end(id);
  calls.end(id);
  CHECK(calls.counts("v").mounting == 0);
  CHECK(changes == std::vector<std::string>{"v", "v"});
}

TEST_CASE("mount calls: what stands in the way ends the wait, unless it may pass") {
  MountCalls calls([](const std::string&) {});
  const std::string id = calls.begin("v");
  calls.report("v", Error(ErrorCode::Unavailable, "not yet"));
  CHECK_THROWS_WITH_AS(calls.wait(id, steady_clock::now()), "not yet", Error);
  calls.report("v", Error(ErrorCode::Conflict, "never"));
  CHECK_THROWS_WITH_AS(calls.wait(id, steady_clock::now() + std::chrono::hours(1)), "never", Error);
}

TEST_CASE("mount calls: a waiting thread is woken") {
  MountCalls calls([](const std::string&) {});
  const std::string id = calls.begin("v");
  Prepared got;
  std::thread waiter([&] { got = calls.wait(id, steady_clock::now() + std::chrono::hours(1)); });
  calls.complete("v", {.device = "/dev/x", .major = 1, .minor = 2});
  waiter.join();
  CHECK(got.device == "/dev/x");
}

TEST_CASE("mount calls: an id of a former agent is not known") {
  MountCalls calls([](const std::string&) {});
  CHECK_FALSE(calls.find_volume("1.1").has_value());
  CHECK(calls.find_volume(calls.begin("v")) == "v");
}
