#include "flexdriver/call.h"

#include <doctest/doctest.h>

#include "flexdriver/fence_helper.h"

using namespace plexvol::driver;  // NOLINT(google-build-using-namespace)

namespace {

Reply call(const std::string& name, const std::vector<std::string>& arguments) {
  Settings settings;
  settings.timeout = std::chrono::milliseconds(100);
  settings.sockets = {"/nowhere/sock"};
  return answer(name, arguments, settings, Trace(false));
}

}  // namespace

TEST_CASE("calls: every name that Kubernetes has ever run is known, or not supported") {
  for (const char* name :
       {"init", "getvolumename", "attach", "waitforattach", "isattached", "detach", "mountdevice",
        "mount", "unmount", "unmountdevice", "expandvolume", "expandfs"}) {
    CHECK(is_call(name));
  }
  for (const char* name : {"", "waitfordetach", "Mount", "mount ", "volume", "fence-peer"}) {
    CAPTURE(name);
    CHECK_FALSE(is_call(name));
    CHECK(call(name, {}).status == Status::NotSupported);
  }
}

TEST_CASE("calls: those that need no agent answer without one") {
  CHECK(call("init", {}).status == Status::Success);
  CHECK(call("init", {"surplus"}).status == Status::Success);
  CHECK(call("getvolumename", {"{}"}).status == Status::NotSupported);
  CHECK(call("unmount", {"/nowhere-at-all/target"}).status == Status::Success);
}

TEST_CASE("calls: those that need one fail without it, and isattached says yes") {
  CHECK(call("attach", {"{}", "n1"}).status == Status::Failure);
  CHECK(call("detach", {"v", "n1"}).message.find("/nowhere/sock") != std::string::npos);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"{}", "n1"}, {}, {"{", "n1"}, {"{}", "n1", "surplus"}}) {
    const Reply reply = call("isattached", arguments);
    CHECK(reply.status == Status::Success);
    CHECK(reply.attached == true);
  }
}

TEST_CASE("drbd: only its own variables are passed on") {
  const char* environment[] = {"HOME=/",        "DRBD_PEER_AF=ipv4", "DRBD_EMPTY=", "DRBD_NONSENSE",
                               "XDRBD_PEER=no", "DRBD_A=b=c",        nullptr};
  const auto found = drbd_environment(environment);
  CHECK(found == std::map<std::string, std::string>{
                     {"DRBD_PEER_AF", "ipv4"}, {"DRBD_EMPTY", ""}, {"DRBD_A", "b=c"}});
  CHECK(drbd_environment(nullptr).empty());
}

TEST_CASE("drbd: its handlers are known by name") {
  for (const char* event :
       {"fence-peer", "unfence-peer", "before-resync-target", "after-resync-target",
        "before-resync-source", "local-io-error", "pri-lost", "pri-lost-after-sb",
        "pri-on-incon-degr", "split-brain", "initial-split-brain", "out-of-sync", "quorum-lost"}) {
    CHECK(is_drbd_event(event));
  }
  CHECK_FALSE(is_drbd_event("mount"));
  CHECK_FALSE(is_drbd_event(""));
}
