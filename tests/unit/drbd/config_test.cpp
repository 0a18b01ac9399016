#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "agent/api/names.h"
#include "agent/drbd/config_file.h"
#include "agent/drbd/config_text.h"
#include "agent/drbd/drbd.h"
#include "agent/process/boost_runner.h"
#include "tests/support/data_file.h"
#include "tests/support/scripted_runner.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/drbd/resource.h"

using plexvol::ErrorCode;
using plexvol::drbd::Drbd;
using plexvol::drbd::Failure;
using plexvol::drbd::failure_of;
using plexvol::drbd::find_minor;
using plexvol::drbd::Generation;
using plexvol::drbd::replace_file;
using plexvol::drbd::Resource;
using plexvol::drbd::sample_resource;
using plexvol::drbd::to_config;
using plexvol::support::read_data_file;
using plexvol::support::ScriptedRunner;
using plexvol::support::TemporaryDirectory;

namespace {

// The keywords of drbdadm's scanners, of 8.4 and 9, and its own commands and units among its names.
constexpr const char* kWordsOfDrbd[] = {"global",
                                        "common",
                                        "all",
                                        "resource",
                                        "on",
                                        "ignore-on",
                                        "stacked-on-top-of",
                                        "floating",
                                        "no",
                                        "net",
                                        "yes",
                                        "ask",
                                        "via",
                                        "skip",
                                        "disk",
                                        "host",
                                        "hosts",
                                        "port",
                                        "proxy",
                                        "minor",
                                        "inside",
                                        "volume",
                                        "cmd-timeout-short",
                                        "cmd-timeout-medium",
                                        "cmd-timeout-long",
                                        "syncer",
                                        "device",
                                        "options",
                                        "outside",
                                        "address",
                                        "alternate-link-address",
                                        "startup",
                                        "include",
                                        "handlers",
                                        "connection",
                                        "connection-mesh",
                                        "minor-count",
                                        "disable-ip-verification",
                                        "dialog-refresh",
                                        "meta-disk",
                                        "flexible-meta-disk",
                                        "node-id",
                                        "usage-count",
                                        "template-file",
                                        "path",
                                        "sci",
                                        "ssocks",
                                        "sdp",
                                        "ipv4",
                                        "ipv6",
                                        "size",
                                        "on-io-error",
                                        "fencing",
                                        "disk-barrier",
                                        "timeout",
                                        "protocol",
                                        "shared-secret",
                                        "after-sb-0pri",
                                        "rate",
                                        "after",
                                        "cpu-mask",
                                        "pri-lost",
                                        "split-brain",
                                        "fence-peer",
                                        "out-of-sync",
                                        "plugin",
                                        "memlimit",
                                        "compression",
                                        "10.0.0.1",
                                        "1M",
                                        "5G",
                                        "8s",
                                        "adjust",
                                        "up",
                                        "down",
                                        "help",
                                        "none",
                                        "default",
                                        "internal"};

}  // namespace

TEST_CASE("the configuration of a resource is this text") {
  CHECK(to_config(sample_resource()) == read_data_file("drbd/v1.res"));
}

TEST_CASE("the configured rate of a resync is its limit, and what else depends on it [O19]") {
  const auto options = [](unsigned rate) {
    const std::string text = to_config(sample_resource(), Generation::Eight, rate);
    const std::size_t begin = text.find("    resync-rate");
    return text.substr(begin, text.find("  }", begin) - begin);
  };
  CHECK(options(100) ==
        "    resync-rate 20M;\n    c-plan-ahead 20;\n    c-fill-target 1M;\n    c-min-rate 4M;\n"
        "    c-max-rate 100M;\n");
  CHECK(options(1) ==
        "    resync-rate 1M;\n    c-plan-ahead 20;\n    c-fill-target 1M;\n    c-min-rate 1M;\n"
        "    c-max-rate 1M;\n");
  CHECK(options(381) ==
        "    resync-rate 20M;\n    c-plan-ahead 20;\n    c-fill-target 3M;\n    c-min-rate 4M;\n"
        "    c-max-rate 381M;\n");
  CHECK(options(4096).find("c-fill-target 8M") != std::string::npos);
}

TEST_CASE("a configuration without its resync options is the same at every rate [O19]") {
  const auto rest = [](const Resource& resource, unsigned rate) {
    return plexvol::drbd::without_resync_options(to_config(resource, Generation::Eight, rate));
  };
  Resource resource = sample_resource();
  const std::string text = rest(resource, 1);
  CHECK(text == rest(resource, 4096));
  for (const char* kept : {"on-io-error detach", "fencing resource-and-stonith", "csums-alg"}) {
    CHECK(text.find(kept) != std::string::npos);
  }
  CHECK(text.find("rate") == std::string::npos);
  resource.data_device = "/dev/vg0/another";
  CHECK(text != rest(resource, 1));
}

TEST_CASE("only resync options differ, as long as the kernel knows all the rest [O19]") {
  const TemporaryDirectory directory;
  std::ofstream(directory.path() / "proc") << "version: 8.4.11\n";
  ScriptedRunner runner;
  const std::string folder = (directory.path() / "drbd.d").string();
  const auto agent = [&](unsigned rate) {
    return Drbd(runner, {.config_directory = folder,
                         .module = {.directory = (directory.path() / "none").string(),
                                    .proc = (directory.path() / "proc").string()},
                         .resync_rate_mib = rate});
  };
  const auto adjust = [&](Drbd& drbd) {
    runner.expect({"/usr/sbin/drbdsetup", "events2", "--now", "--statistics"},
                  {.exit_code = 0, .out = "exists -\n", .err = {}});
    runner.expect({"/usr/sbin/drbdadm", "-c", folder + "/v1.res", "adjust", "all"}, {});
    drbd.adjust("v1");
  };
  const Resource resource = sample_resource();
  Resource moved = resource;
  moved.peer.address = "10.77.0.3";
  Drbd before = agent(100);
  CHECK_FALSE(before.only_resync_options_differ(resource));
  before.write_config(resource);
  CHECK_FALSE(before.only_resync_options_differ(resource));
  adjust(before);

  Drbd upgraded = agent(40);
  CHECK_FALSE(upgraded.config_is_current(resource));
  CHECK(upgraded.only_resync_options_differ(resource));
  CHECK_FALSE(upgraded.only_resync_options_differ(moved));
  upgraded.write_config(resource);  // and dies
  Drbd next = agent(40);
  CHECK_FALSE(next.config_is_current(resource));
  CHECK(next.only_resync_options_differ(resource));
  SUBCASE("then told") {
    adjust(next);
    CHECK(next.config_is_current(resource));
  }
  SUBCASE("then the peer is replaced, and the kernel is not told of that either") {
    next.write_config(moved);
    CHECK_FALSE(next.only_resync_options_differ(moved));
    agent(60).write_config(moved);
    CHECK_FALSE(agent(60).only_resync_options_differ(moved));
  }
}

TEST_CASE("IPv6 addresses are written as drbd.conf wants them") {
  Resource resource = sample_resource();
  resource.here.address = "fd00::1";
  resource.peer.address = "fd00::2";
  const std::string text = to_config(resource);
  CHECK(text.find("on \"_this_host\" { address ipv6 [fd00::1]:7000; }") != std::string::npos);
  CHECK(text.find("on \"_remote_host\" { address ipv6 [fd00::2]:7000; }") != std::string::npos);
}

TEST_CASE("drbdadm of 8.4 takes the configuration, whatever this machine is called") {
  const std::string drbdadm = "/lib/drbd/drbdadm-84";
  if (!std::filesystem::exists(drbdadm)) {
    MESSAGE("left out: no " << drbdadm << " here");
    return;
  }
  const TemporaryDirectory directory;
  plexvol::process::BoostRunner runner;
  for (const std::string name : {"v1", "minor-7", "9x._-"}) {
    for (const bool ipv6 : {false, true}) {
      Resource resource = sample_resource();
      resource.name = name;
      if (ipv6) resource.here.address = "fd00::1";
      if (ipv6) resource.peer.address = "fd00::2";
      const std::string path = (directory.path() / "x.res").string();
      replace_file(path, to_config(resource));
      // A dry run: it prints what it would do to a kernel that knows nothing of the resource.
      const auto output =
          runner.run({.argv = {drbdadm, "-c", path, "-d", "adjust", "all"}, .input = {}});
      CAPTURE(output.err);
      CHECK(output.exit_code == 0);
      CHECK(output.out.find("new-resource " + name + "\n") != std::string::npos);
      CHECK(output.out.find("attach 1000 /dev/vg0/v1 /dev/vg0/v1.meta flexible") !=
            std::string::npos);
      CHECK(output.out.find("--fencing=resource-and-stonith") != std::string::npos);
      CHECK(output.out.find(ipv6 ? "ipv6:\\[fd00::1\\]:7000 ipv6:\\[fd00::2\\]:7000"
                                 : "ipv4:10.77.0.1:7000 ipv4:10.77.0.2:7000") != std::string::npos);
    }
  }
}

TEST_CASE(
    "drbdadm takes every word of its own language for a name, or a new volume may not have it "
    "[O5]") {
  const TemporaryDirectory directory;
  plexvol::process::BoostRunner runner;
  unsigned refused = 0;
  for (const auto& [drbdadm, generation] :
       {std::pair("/lib/drbd/drbdadm-84", plexvol::drbd::Generation::Eight),
        std::pair("/usr/sbin/drbdadm", plexvol::drbd::Generation::Nine)}) {
    if (!std::filesystem::exists(drbdadm)) continue;
    for (const std::string name : kWordsOfDrbd) {
      CAPTURE(name);
      if (!failure_of([&] { plexvol::check_new_volume_name(name); }).message.empty()) {
        ++refused;
        continue;
      }
      Resource resource = sample_resource();
      resource.name = name;
      resource.here.address = "127.0.0.1";  // it looks whether this machine has it
      const std::string path = (directory.path() / "x.res").string();
      replace_file(path, to_config(resource, generation));
      // Whichever kernel module is loaded here.
      const std::string version =
          std::string("DRBD_DRIVER_VERSION_OVERRIDE=") +
          (generation == plexvol::drbd::Generation::Nine ? "9.1.0" : "8.4.11");
      const auto output = runner.run(
          {.argv = {"/usr/bin/env", version, drbdadm, "-c", path, "dump", "all"}, .input = {}});
      CAPTURE(output.err);
      CHECK(output.exit_code == 0);
      CHECK(output.out.find("resource " + name + " {") != std::string::npos);
    }
  }
  CHECK(refused % 3 == 0);  // all, common, global
}

TEST_CASE("what could break out of the configuration, or mislead DRBD's tools, is refused") {
  const std::vector<std::function<void(Resource&)>> breaches{
      [](Resource& r) { r.name = "all"; },
      [](Resource& r) { r.name = "1001"; },
      [](Resource& r) { r.name = ""; },
      [](Resource& r) { r.name = "../v1"; },
      [](Resource& r) { r.name = ".v1"; },
      [](Resource& r) { r.name = "v1\" {"; },
      [](Resource& r) { r.name = std::string(128, 'a'); },
      [](Resource& r) { r.data_device = "/dev/x\"; fencing dont-care; #"; },
      [](Resource& r) { r.data_device = "/etc/passwd"; },
      [](Resource& r) { r.data_device = "/dev/../etc/passwd"; },
      [](Resource& r) { r.data_device = ""; },
      [](Resource& r) { r.metadata_device = r.data_device; },
      [](Resource& r) { r.metadata_device = "internal"; },
      [](Resource& r) { r.secret = ""; },
      [](Resource& r) { r.secret = "a\";"; },
      [](Resource& r) { r.secret = std::string(64, 'a'); },
      [](Resource& r) { r.here.address = "n1"; },
      [](Resource& r) { r.here.address = "10.0.0.1; #"; },
      [](Resource& r) { r.peer.address = ""; },
      [](Resource& r) { r.peer.port = 0; },
      [](Resource& r) { r.peer = r.here; },
      [](Resource& r) { r.peer.number = r.here.number; },
  };
  for (std::size_t number = 0; number < breaches.size(); ++number) {
    CAPTURE(number);
    Resource resource = sample_resource();
    breaches[number](resource);
    const Failure failure = failure_of([&] { to_config(resource); });
    CHECK_FALSE(failure.message.empty());
    CHECK(failure.code == ErrorCode::InvalidArgument);
  }
}

TEST_CASE("a refused secret is not shown") {
  Resource resource = sample_resource();
  resource.secret = "top secret";
  const Failure failure = failure_of([&] { to_config(resource); });
  CHECK(failure.message.find("secret must be") != std::string::npos);
  CHECK(failure.message.find("top") == std::string::npos);
}

TEST_CASE("the minor of a written configuration is found again") {
  CHECK(find_minor(to_config(sample_resource())) == 1000U);
  CHECK_FALSE(find_minor(""));
  CHECK_FALSE(find_minor("\n  device minor ;"));
  CHECK_FALSE(find_minor("\n  device minor 12"));
}

TEST_CASE(
    "a configuration is current only when it is what would be written, and the kernel knows") {
  const TemporaryDirectory directory;
  std::ofstream(directory.path() / "proc") << "version: 8.4.11\n";
  ScriptedRunner runner;
  const std::string folder = (directory.path() / "made" / "when missing").string();
  Drbd drbd(runner, {.config_directory = folder,
                     .module = {.directory = (directory.path() / "none").string(),
                                .proc = (directory.path() / "proc").string()}});
  const auto adjust = [&](int exit_code) {
    runner.expect({"/usr/sbin/drbdsetup", "events2", "--now", "--statistics"},
                  {.exit_code = 0, .out = "exists -\n", .err = {}});
    runner.expect({"/usr/sbin/drbdadm", "-c", folder + "/v1.res", "adjust", "all"},
                  {.exit_code = exit_code, .out = {}, .err = {}});
    drbd.adjust("v1");
  };
  Resource resource = sample_resource();
  CHECK_FALSE(drbd.config_is_current(resource));
  drbd.write_config(resource);
  CHECK_FALSE(drbd.config_is_current(resource));
  adjust(0);
  CHECK(drbd.config_is_current(resource));
  CHECK(drbd.connection_is_current(resource));
  CHECK(drbd.list_configured() == std::vector<std::string>{"v1"});
  CHECK(drbd.has_config_of("v1", resource.secret));
  CHECK_FALSE(drbd.has_config_of("v1", "another"));
  resource.data_device = "/dev/vg0/another";
  CHECK_FALSE(drbd.config_is_current(resource));
  CHECK(drbd.connection_is_current(resource));
  resource.secret = "another";
  CHECK_FALSE(drbd.connection_is_current(resource));
  resource = sample_resource();
  resource.peer.address = "10.77.0.3";
  CHECK_FALSE(drbd.config_is_current(resource));
  CHECK_FALSE(drbd.connection_is_current(resource));
  drbd.write_config(resource);
  CHECK_THROWS_AS(adjust(1), plexvol::Error);
  CHECK_FALSE(drbd.config_is_current(resource));
  CHECK_FALSE(drbd.connection_is_current(resource));
  adjust(0);
  CHECK(drbd.config_is_current(resource));
  drbd.remove_config("v1");
  CHECK_FALSE(drbd.config_is_current(resource));
  CHECK_FALSE(drbd.connection_is_current(resource));
  CHECK_NOTHROW(drbd.remove_config("v1"));
  CHECK(std::filesystem::is_empty(folder));
}

TEST_CASE(
    "only root reads a configuration, for it holds the secret; a crash's rest is no trouble") {
  const TemporaryDirectory directory;
  ScriptedRunner runner;
  Drbd drbd(runner, {.config_directory = directory.path().string()});
  std::ofstream(directory.path() / ".v1.res.new") << "half a fi";
  const mode_t before = umask(0);
  drbd.write_config(sample_resource());
  umask(before);
  struct stat status {};
  REQUIRE(stat((directory.path() / "v1.res").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600U);
  CHECK_FALSE(std::filesystem::exists(directory.path() / ".v1.res.new"));
}

TEST_CASE("a configuration that cannot be written leaves the old one") {
  const TemporaryDirectory directory;
  std::ofstream(directory.path() / "file") << "x";
  ScriptedRunner runner;
  Drbd drbd(runner, {.config_directory = (directory.path() / "file").string()});
  const Failure failure = failure_of([&] { drbd.write_config(sample_resource()); });
  CHECK(failure.code == ErrorCode::Internal);
  CHECK(failure.message.find("cannot write") != std::string::npos);
}
