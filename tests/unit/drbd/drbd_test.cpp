#include "agent/drbd/drbd.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/data_file.h"
#include "tests/support/scripted_runner.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/drbd/resource.h"

using plexvol::ErrorCode;
using plexvol::drbd::Drbd;
using plexvol::drbd::Failure;
using plexvol::drbd::failure_of;
using plexvol::drbd::Resource;
using plexvol::drbd::ResourceState;
using plexvol::drbd::sample_resource;
using plexvol::process::Output;
using plexvol::support::read_data_file;
using plexvol::support::ScriptedRunner;
using plexvol::support::TemporaryDirectory;

namespace {

const std::vector<std::string> kList{"/usr/sbin/drbdsetup", "events2", "--now", "--statistics"};

// A host with the module; what its kernel says is one of the recorded files.
struct Kernel {
  TemporaryDirectory directory;
  ScriptedRunner runner;
  Drbd drbd{runner,
            {.config_directory = (directory.path() / "config").string(),
             .module = {.directory = (directory.path() / "module").string(),
                        .proc = (directory.path() / "proc").string()}}};

  Kernel() { std::ofstream(directory.path() / "proc") << "version: 8.4.11 (api:1/proto:86-101)\n"; }

  Kernel& is(const std::string& situation) {
    runner.expect(kList, {.out = read_data_file("drbd/events2-" + situation + ".txt"), .err = {}});
    return *this;
  }
  Kernel& says(const std::string& text) {
    runner.expect(kList, {.out = text, .err = {}});
    return *this;
  }
  Kernel& gets(std::vector<std::string> arguments, Output output = {}) {
    arguments.insert(arguments.begin(), "/usr/sbin/drbdsetup");
    runner.expect(std::move(arguments), std::move(output));
    return *this;
  }
  Kernel& is_adjusted(Output output = {}) {
    const std::string file = (directory.path() / "config" / "v1.res").string();
    runner.expect({"/usr/sbin/drbdadm", "-c", file, "adjust", "all"}, std::move(output));
    return *this;
  }
};

const ResourceState kSeen = [] {
  ResourceState seen;
  seen.minor = 1000;
  return seen;
}();

Output refused(const std::string& words) {
  return {.exit_code = 11, .out = {}, .err = "1000: State change failed: " + words + "\n"};
}

}  // namespace

TEST_CASE("without the module there are no resources, and nothing is run") {
  Kernel kernel;
  std::filesystem::remove(kernel.directory.path() / "proc");
  CHECK(kernel.drbd.list_resources().empty());
  CHECK_FALSE(kernel.drbd.find_resource("v1"));
  kernel.drbd.disconnect("v1");
  CHECK(kernel.runner.calls().empty());
}

TEST_CASE("a resource that is not configured is not found") {
  Kernel kernel;
  kernel.says("exists -\n");
  CHECK_FALSE(kernel.drbd.find_resource("v1"));
  kernel.is("connected-primary");
  CHECK(kernel.drbd.find_resource("v1"));
}

TEST_CASE("a list that failed is an error, never an empty list") {
  Kernel kernel;
  kernel.runner.expect(kList, {.exit_code = 20, .out = "exists -\n", .err = "netlink\n"});
  CHECK(failure_of([&] { kernel.drbd.list_resources(); }).code == ErrorCode::Internal);
}

TEST_CASE("adjust runs drbdadm on the resource's own file only") {
  Kernel kernel;
  kernel.drbd.write_config(sample_resource());
  kernel.says("exists -\n").is_adjusted();
  kernel.drbd.adjust("v1");
  kernel.is("connected-primary").is_adjusted();
  kernel.drbd.adjust("v1");
  CHECK(kernel.runner.is_done());
}

TEST_CASE("adjust does not touch the kernel without a configuration of ours") {
  Kernel kernel;
  CHECK(failure_of([&] { kernel.drbd.adjust("v1"); }).code == ErrorCode::Internal);
  CHECK(failure_of([&] { kernel.drbd.adjust("all"); }).code == ErrorCode::InvalidArgument);
  CHECK(kernel.runner.calls().empty());
}

TEST_CASE("adjust never takes another resource's minor, nor gives this one another") {
  Kernel kernel;
  Resource resource = sample_resource();
  resource.minor = 1001;  // is t1's
  kernel.drbd.write_config(resource);
  kernel.is("split-brain-winner");
  const Failure taken = failure_of([&] { kernel.drbd.adjust("v1"); });
  CHECK(taken.code == ErrorCode::Conflict);
  resource.minor = 1002;
  kernel.drbd.write_config(resource);
  kernel.is("split-brain-winner");
  const Failure moved = failure_of([&] { kernel.drbd.adjust("v1"); });
  CHECK(moved.code == ErrorCode::Conflict);
  CHECK(moved.message.find("v1 with minor 1000") != std::string::npos);
  CHECK(kernel.runner.is_done());
}

TEST_CASE("a failed adjust tells why, without the secret") {
  Kernel kernel;
  kernel.drbd.write_config(sample_resource());
  kernel.says("exists -\n")
      .is_adjusted({.exit_code = 1,
                    .out = {},
                    .err = "v1: Failure: (102) Local address(port) already in use.\n"
                           "Command 'drbdsetup-84 connect --shared-secret=c2VjcmV0' terminated\n"});
  const Failure failure = failure_of([&] { kernel.drbd.adjust("v1"); });
  CHECK(failure.code == ErrorCode::Conflict);
  CHECK(failure.message.find("(102) Local address(port) already in use.") != std::string::npos);
  CHECK(failure.message.find("c2VjcmV0") == std::string::npos);
}

TEST_CASE(
    "promote makes the minor primary, and waits longer for the fence handler than for a tool") {
  Kernel kernel;
  kernel.gets({"primary", "1000"});
  kernel.drbd.promote("v1", kSeen);
  CHECK(kernel.runner.calls().back().stall_limit > plexvol::process::Command{}.stall_limit);
  CHECK(kernel.runner.is_done());
}

TEST_CASE("a refused promotion tells DRBD's words and how things are") {
  Kernel kernel;
  kernel.gets({"primary", "1000"}, refused("(-1) Multiple primaries not allowed by config"))
      .is("connected-secondary");
  const Failure failure = failure_of([&] { kernel.drbd.promote("v1", kSeen); });
  CHECK(failure.code == ErrorCode::Conflict);
  CHECK(failure.message.find("(-1) Multiple primaries not allowed by config") != std::string::npos);
  CHECK(failure.message.find("(here UpToDate, connection Connected, peer Primary/UpToDate)") !=
        std::string::npos);
}

TEST_CASE("a promotion that the fence handler refused is a Conflict") {
  Kernel kernel;
  const std::string alone =
      "exists resource name:v1 role:Secondary suspended:no\n"
      "exists connection name:v1 connection:Connecting role:Unknown\n"
      "exists device name:v1 volume:0 minor:1000 disk:UpToDate\n"
      "exists peer-device name:v1 volume:0 replication:Off peer-disk:DUnknown\n"
      "exists -\n";
  kernel
      .gets({"primary", "1000"}, refused("(-7) Refusing to be Primary while peer is not outdated"))
      .says(alone);
  const Failure failure = failure_of([&] { kernel.drbd.promote("v1", kSeen); });
  CHECK(failure.code == ErrorCode::Conflict);
  CHECK(failure.message.find("(-7)") != std::string::npos);
}

TEST_CASE("a promotion refused while the handler's yes was on its way is to be asked again") {
  // Seen right after the link broke: -7, and the peer is Outdated a moment later.
  for (const std::string after : {"connection:Connecting role:Unknown\n|Outdated",
                                  "connection:NetworkFailure role:Unknown\n|DUnknown"}) {
    CAPTURE(after);
    Kernel kernel;
    const std::size_t bar = after.find('|');
    kernel
        .gets({"primary", "1000"},
              refused("(-7) Refusing to be Primary while peer is not outdated"))
        .says(
            "exists resource name:v1 role:Secondary suspended:no\n"
            "exists connection name:v1 " +
            after.substr(0, bar) +
            "exists device name:v1 volume:0 minor:1000 disk:UpToDate\n"
            "exists peer-device name:v1 volume:0 replication:Off peer-disk:" +
            after.substr(bar + 1) + "\nexists -\n");
    const Failure failure = failure_of([&] { kernel.drbd.promote("v1", kSeen); });
    CHECK(failure.code == ErrorCode::Unavailable);
  }
}

TEST_CASE("demote makes the minor secondary; one that is open is a Conflict") {
  Kernel kernel;
  kernel.gets({"secondary", "1000"});
  kernel.drbd.demote("v1", kSeen);
  kernel.gets({"secondary", "1000"}, refused("(-12) Device is held open by someone"));
  const Failure failure = failure_of([&] { kernel.drbd.demote("v1", kSeen); });
  CHECK(failure.code == ErrorCode::Conflict);
  CHECK(failure.message.find("held open") != std::string::npos);
  CHECK(kernel.runner.is_done());
}

TEST_CASE("disconnect names the ends that the kernel uses, not those of a file") {
  Kernel kernel;
  kernel.is("connected-primary")
      .gets({"show", "v1"}, {.out = read_data_file("drbd/show.txt"), .err = {}})
      .gets({"disconnect", "ipv4:10.77.0.1:7001", "ipv4:10.77.0.2:7001", "--force"});
  kernel.drbd.disconnect("v1");
  CHECK(kernel.runner.is_done());
}

TEST_CASE("disconnect has nothing to do when StandAlone") {
  Kernel kernel;
  kernel.is("standalone-outdated-secondary");
  kernel.drbd.disconnect("v1");
  kernel.says("exists -\n");
  kernel.drbd.disconnect("v1");
  CHECK(kernel.runner.is_done());
}

TEST_CASE("a disconnect whose ends are not told fails without showing the secret") {
  Kernel kernel;
  kernel.is("connected-primary")
      .gets({"show", "v1"}, {.out = "shared-secret \"sEcretv1\"", .err = {}});
  const Failure failure = failure_of([&] { kernel.drbd.disconnect("v1"); });
  CHECK(failure.code == ErrorCode::Internal);
  CHECK(failure.message.find("sEcret") == std::string::npos);
}

TEST_CASE("down ends one resource; one that is open is a Conflict") {
  Kernel kernel;
  kernel.gets({"down", "v1"});
  kernel.drbd.down("v1");
  CHECK(failure_of([&] { kernel.drbd.down("all"); }).code == ErrorCode::InvalidArgument);
  CHECK(failure_of([&] { kernel.drbd.down("1000"); }).code == ErrorCode::InvalidArgument);
  kernel.gets({"down", "v1"}, refused("(-12) Device is held open by someone"));
  CHECK(failure_of([&] { kernel.drbd.down("v1"); }).code == ErrorCode::Conflict);
  CHECK(kernel.runner.is_done());
}

TEST_CASE("a frozen primary gives its disk up by force, and is thawed") {
  Kernel kernel;
  kernel.is("frozen-primary").gets({"detach", "1000", "--force"});
  kernel.drbd.give_up_disk("v1");
  kernel.is("frozen-primary").gets({"resume-io", "1000"});
  kernel.drbd.resume_io("v1");
  CHECK(kernel.runner.is_done());
}

TEST_CASE("what has no disk gives up none, and what is not frozen is not thawed") {
  Kernel kernel;
  kernel.is("diskless-primary");
  kernel.drbd.give_up_disk("v1");
  kernel.is("diskless-primary");
  kernel.drbd.resume_io("v1");
  kernel.says("exists -\n").says("exists -\n");
  kernel.drbd.give_up_disk("v1");
  kernel.drbd.resume_io("v1");
  CHECK(kernel.runner.is_done());
}

TEST_CASE("only the resource's own file says what is connected and thrown away") {
  Kernel kernel;
  const std::string file = (kernel.directory.path() / "config" / "v1.res").string();
  kernel.runner.expect(
      {"/usr/sbin/drbdadm", "-c", file, "--", "--discard-my-data", "connect", "all"}, {});
  kernel.drbd.reconnect_discarding("v1");
  CHECK(kernel.runner.is_done());
}

TEST_CASE("drbd: the numbers of all resources but ours are known [D15]") {
  Kernel kernel;
  std::filesystem::create_directories(kernel.directory.path() / "config");
  std::ofstream(kernel.directory.path() / "config" / "v1.res") << "\n  device minor 1000;\n";
  const std::string config = (kernel.directory.path() / "drbd.conf").string();
  std::ofstream(config) << "\n";
  Drbd drbd{kernel.runner,
            {.config_directory = (kernel.directory.path() / "config").string(),
             .module = {.directory = (kernel.directory.path() / "module").string(),
                        .proc = (kernel.directory.path() / "proc").string()},
             .others_config = config}};
  kernel.says(
      "exists resource name:v1 role:Secondary suspended:no\n"
      "exists device name:v1 volume:0 minor:1000 disk:UpToDate\n"
      "exists resource name:theirs role:Secondary suspended:no\n"
      "exists device name:theirs volume:0 minor:1003 disk:UpToDate\nexists -\n");
  kernel.gets({"show", "theirs"},
              {.out = "resource theirs {\n    _remote_host {\n\taddress\t\t\tipv4 "
                      "10.0.0.2:7003;\n    }\n    volume 0 {\n        device minor\t1003;\n"
                      "    }\n}\n",
               .err = {}});
  kernel.runner.expect({"/usr/sbin/drbdadm", "-c", config, "dump"},
                       {.out = "resource off {\n  on n1 {\n    device           /dev/drbd1007 "
                               "minor 1007;\n    address          ipv4 10.0.0.1:7011;\n  }\n}\n",
                        .err = {}});
  const auto others = drbd.list_others_numbers();
  CHECK(others.minors == std::set<unsigned>{1003, 1007});
  CHECK(others.ports == std::set<std::uint16_t>{7003, 7011});
}

TEST_CASE("drbd: a resource is ours by its minor and its secret [D15]") {
  Kernel kernel;
  ResourceState state;
  state.minor = 1000;
  state.disk_state = "UpToDate";
  kernel.gets({"show", "v1"}, {.out = "\tshared-secret\t\t\"ours\";\n", .err = {}});
  CHECK(kernel.drbd.is_own("v1", state, 1000, "ours"));
  kernel.gets({"show", "v1"}, {.out = "\tshared-secret\t\t\"theirs\";\n", .err = {}});
  CHECK_FALSE(kernel.drbd.is_own("v1", state, 1000, "ours"));
  CHECK_FALSE(kernel.drbd.is_own("v1", state, 1001, "ours"));
  // Our own file needs no tool.
  std::filesystem::create_directories(kernel.directory.path() / "config");
  std::ofstream(kernel.directory.path() / "config" / "v1.res") << "shared-secret \"ours\";\n";
  CHECK(kernel.drbd.is_own("v1", state, 1000, "ours"));
  CHECK_FALSE(kernel.drbd.is_own("v1", state, 1000, "newer"));
}
