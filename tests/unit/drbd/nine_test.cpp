// What is different for DRBD 9. Its tools are real here, its kernel module is not: see
// generation.h.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "agent/drbd/config_file.h"
#include "agent/drbd/drbd.h"
#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/scripted_runner.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/drbd/resource.h"

using plexvol::ErrorCode;
using plexvol::drbd::Drbd;
using plexvol::drbd::failure_of;
using plexvol::drbd::Generation;
using plexvol::drbd::kMib;
using plexvol::drbd::kUuid;
using plexvol::drbd::replace_file;
using plexvol::drbd::Resource;
using plexvol::drbd::sample_resource;
using plexvol::drbd::to_config;
using plexvol::process::BoostRunner;
using plexvol::support::can_use_loop_devices;
using plexvol::support::LoopDevice;
using plexvol::support::ScriptedRunner;
using plexvol::support::TemporaryDirectory;

namespace {

// A host whose kernel has DRBD 9, so it says.
struct Host {
  TemporaryDirectory directory;
  Host() { std::ofstream(directory.path() / "proc") << "version: 9.2.4 (api:2/proto:86-122)\n"; }

  plexvol::drbd::Settings settings() const {
    return {.config_directory = (directory.path() / "config").string(),
            .module = {.directory = (directory.path() / "none").string(),
                       .proc = (directory.path() / "proc").string()},
            .try_nine = true};
  }
};

std::string events(const std::string& role, const std::string& connection,
                   const std::string& resync_suspended) {
  return "exists resource name:v1 role:" + role +
         " suspended:no force-io-failures:no may_promote:no promotion_score:10102\n"
         "exists connection name:v1 peer-node-id:1 conn-name:_remote_host connection:" +
         connection +
         " role:Secondary congested:no\n"
         "exists device name:v1 volume:0 minor:1000 backing_dev:/dev/vg0/v1 disk:UpToDate "
         "client:no quorum:yes size:102400 read:0 written:0\n"
         "exists peer-device name:v1 peer-node-id:1 conn-name:_remote_host volume:0 "
         "replication:Established peer-disk:UpToDate peer-client:no resync-suspended:" +
         resync_suspended + " received:0 sent:0 out-of-sync:0 pending:0 unacked:0\n" + "exists -\n";
}

// Also stands in front of the metadata as an earlier user's bytes.
struct NineDevices {
  Host host;
  LoopDevice data{host.directory.path() / "data", 300 * kMib};
  LoopDevice metadata{host.directory.path() / "metadata", 4 * kMib};
  BoostRunner runner;
  Drbd drbd{runner, host.settings()};
  Resource resource = sample_resource();

  NineDevices() {
    // A minor that no other test of this machine uses: drbdmeta locks it.
    resource.minor = 1 + metadata.minor();
    resource.data_device = data.path();
    resource.metadata_device = metadata.path();
    const int device = open(metadata.path().c_str(), O_WRONLY | O_CLOEXEC);
    const std::string bytes = std::string(4096, '\0') + std::string(4 * kMib - 4096, '\xA5');
    REQUIRE(write(device, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    REQUIRE(fsync(device) == 0);
    close(device);
  }

  std::string dump() {
    return runner
        .run({.argv = {"/usr/sbin/drbdmeta", std::to_string(resource.minor), "v09", metadata.path(),
                       "flex-external", "dump-md"},
              .input = {}})
        .out;
  }
};

}  // namespace

TEST_CASE("DRBD 9: drbdadm takes the configuration, and asks for what we rely on") {
  BoostRunner runner;
  const TemporaryDirectory directory;
  for (const bool ipv6 : {false, true}) {
    Resource resource = sample_resource();
    std::swap(resource.here.number, resource.peer.number);
    if (ipv6) resource.here.address = "fd00::1";
    if (ipv6) resource.peer.address = "fd00::2";
    const std::string path = (directory.path() / "v1.res").string();
    replace_file(path, to_config(resource, Generation::Nine));
    const auto output =
        runner.run({.argv = {"/usr/sbin/drbdadm", "-c", path, "-d", "up", "all"}, .input = {}});
    // Where the module 8.4 is loaded, drbdadm hands over to its older self, which knows no node-id.
    if (access("/proc/drbd", F_OK) == 0) return;
    CAPTURE(output.out);
    CAPTURE(output.err);
    CHECK(output.exit_code == 0);
    for (const char* part :
         {"new-resource v1 1 ", "--auto-promote=no", "--quorum=off", "new-minor v1 1000 0",
          "new-peer v1 0 ", "--fencing=resource-and-stonith", "--protocol=C",
          "--on-io-error=detach", "attach 1000 /dev/vg0/v1 /dev/vg0/v1.meta flexible",
          "connect v1 0"}) {
      CAPTURE(part);
      CHECK(output.out.find(part) != std::string::npos);
    }
    const auto discarding = runner.run({.argv = {"/usr/sbin/drbdadm", "-c", path, "-d", "--",
                                                 "--discard-my-data", "connect", "all"},
                                        .input = {}});
    CHECK(discarding.out.find("connect v1 0 --discard-my-data") != std::string::npos);
  }
}

TEST_CASE("DRBD 9: commands name the resource and the peer's number") {
  Host host;
  ScriptedRunner runner;
  Drbd drbd(runner, host.settings());
  const auto is = [&](const std::string& role, const std::string& connection,
                      const std::string& resync_suspended) {
    runner.expect({"/usr/sbin/drbdsetup", "events2", "--now", "--statistics"},
                  {.out = events(role, connection, resync_suspended), .err = {}});
  };
  const auto gets = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "/usr/sbin/drbdsetup");
    runner.expect(std::move(words), {});
  };
  gets({"primary", "v1"});
  drbd.promote("v1", {});
  gets({"secondary", "v1"});
  drbd.demote("v1", {});
  is("Primary", "Connected", "no");
  gets({"disconnect", "v1", "1", "--force"});
  drbd.disconnect("v1");
  is("Primary", "Connected", "no");
  gets({"pause-sync", "v1", "1", "0"});
  drbd.pause_resync("v1");
  is("Primary", "Connected", "user");
  gets({"resume-sync", "v1", "1", "0"});
  drbd.resume_resync("v1");
  CHECK(runner.is_done());
}

TEST_CASE("DRBD 9: it is used only by those who want to try it") {
  Host host;
  ScriptedRunner runner;
  auto settings = host.settings();
  CHECK_NOTHROW(Drbd(runner, settings).load_module());
  settings.try_nine = false;
  const auto failure = failure_of([&] { Drbd(runner, settings).load_module(); });
  CHECK(failure.code == ErrorCode::Unsupported);
  CHECK(failure.message.find("DRBD 9.2.4 is loaded") == 0);
}

TEST_CASE("DRBD 9: new metadata says up to date, for one peer, and nothing out of sync") {
  if (access("/usr/sbin/drbdmeta", X_OK) != 0 || !can_use_loop_devices()) return;
  NineDevices devices;
  devices.drbd.create_metadata(devices.resource, kUuid);
  const std::string dump = devices.dump();
  CAPTURE(dump);
  for (const char* part :
       {"version \"v09\";", "max-peers 1;", "current-uuid 0x1234567890ABCDE0;\nflags 0x00000091;",
        "la-size-sect 614400;", "# bits-set 0;"}) {
    CAPTURE(part);
    CHECK(dump.find(part) != std::string::npos);
  }
  devices.drbd.create_metadata(devices.resource, kUuid);
  CHECK(devices.dump().find("current-uuid 0x1234567890ABCDE0;") != std::string::npos);
  CHECK(failure_of([&] {
          devices.drbd.create_metadata(devices.resource, "2234567890ABCDE0");
        }).code == ErrorCode::Conflict);
  CHECK(failure_of([&] { devices.drbd.create_blank_metadata(devices.resource); }).code ==
        ErrorCode::Conflict);
}

TEST_CASE(
    "DRBD 9: blank metadata stays blank until it is filled in, and used metadata is not blank") {
  if (access("/usr/sbin/drbdmeta", X_OK) != 0 || !can_use_loop_devices()) return;
  NineDevices devices;
  devices.drbd.create_blank_metadata(devices.resource);
  devices.drbd.create_blank_metadata(devices.resource);
  const std::string blank = devices.dump();
  CHECK(blank.find("current-uuid 0x0000000000000004;\nflags 0x00000080;") != std::string::npos);

  // As if a first resync had been interrupted: what was known of a peer is known still.
  std::string used = blank;
  const std::string unset = "bitmap-uuid 0x0000000000000000;";
  used.replace(used.find(unset), unset.size(), "bitmap-uuid 0x1234567890ABCDE0;");
  const std::string file = (devices.host.directory.path() / "used").string();
  replace_file(file, used);
  devices.runner.run(
      {.argv = {"/usr/sbin/drbdmeta", "--force", std::to_string(devices.resource.minor), "v09",
                devices.metadata.path(), "flex-external", "restore-md", file},
       .input = {}});
  CHECK(failure_of([&] { devices.drbd.create_blank_metadata(devices.resource); }).code ==
        ErrorCode::Conflict);
  CHECK(failure_of([&] { devices.drbd.create_metadata(devices.resource, kUuid); }).code ==
        ErrorCode::Conflict);
}
