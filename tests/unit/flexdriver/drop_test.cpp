#include "flexdriver/install/drop.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "agent/api/error.h"
#include "tests/support/temporary_directory.h"

namespace {

using plexvol::driver::drop_driver;
using plexvol::driver::DropResult;
using plexvol::driver::roll_back;
using plexvol::driver::TrustedDir;
using plexvol::support::TemporaryDirectory;

const std::string kWorks = "#!/bin/sh\necho '{\"status\":\"Success\"}' # ";
// Answers while it is tried out, and not where the kubelet calls it. Its $0 is a descriptor.
const std::string kDeceives =
    "#!/bin/sh\ncase $(readlink $0) in */plexvol~plexvol/plexvol) ;; "
    "*) echo '{\"status\":\"Success\"}';; esac\n";

plexvol::driver::DropSettings attaches(bool yes) {
  plexvol::driver::DropSettings settings;
  settings.attach = yes;
  return settings;
}

struct Machine {
  TemporaryDirectory directory;
  TrustedDir root = TrustedDir::open_root(directory.path().string());
  std::string plugins = "/plugins";
  std::string folder = (directory.path() / "plugins/plexvol~plexvol/").string();

  std::string program(const std::string& text) const {
    std::string path = (directory.path() / "program").string();
    std::ofstream(path) << text;
    return path;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(folder + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool has(const std::string& name) const { return std::filesystem::exists(folder + name); }
};

}  // namespace

TEST_CASE(
    "a driver that does not answer where the kubelet calls it goes, and what was there stays") {
  const Machine machine;
  SUBCASE("nothing") {
    CHECK_THROWS_AS(drop_driver(machine.root, machine.plugins, machine.program(kDeceives), {}),
                    plexvol::Error);
    CHECK(std::filesystem::is_empty(machine.directory.path() / "plugins"));
  }
  SUBCASE("a driver and its settings") {
    drop_driver(machine.root, machine.plugins, machine.program(kWorks), attaches(false));
    const std::string settings = machine.read(".plexvol.json");
    CHECK_THROWS_AS(
        drop_driver(machine.root, machine.plugins, machine.program(kDeceives), attaches(true)),
        plexvol::Error);
    CHECK(machine.read("plexvol") == kWorks);
    CHECK(machine.read(".plexvol.json") == settings);
    CHECK_FALSE(machine.has(".plexvol.new"));
  }
}

TEST_CASE("settings are not touched for a driver that does not even start") {
  const Machine machine;
  drop_driver(machine.root, machine.plugins, machine.program(kWorks), attaches(false));
  const std::string settings = machine.read(".plexvol.json");
  CHECK_THROWS_AS(
      drop_driver(machine.root, machine.plugins, machine.program("no program"), attaches(true)),
      plexvol::Error);
  CHECK(machine.read("plexvol") == kWorks);
  CHECK(machine.read(".plexvol.json") == settings);
}

TEST_CASE("a roll-back that was killed between its two renames is finished by the next") {
  const Machine machine;
  drop_driver(machine.root, machine.plugins, machine.program(kWorks + "1"), {});
  CHECK(drop_driver(machine.root, machine.plugins, machine.program(kWorks + "2"), {}) ==
        DropResult::Replaced);
  std::filesystem::rename(machine.folder + ".plexvol.previous", machine.folder + ".plexvol.back");
  std::filesystem::create_hard_link(machine.folder + "plexvol",
                                    machine.folder + ".plexvol.previous");
  SUBCASE("the same") {
    roll_back(machine.root, machine.plugins);
    CHECK(machine.read("plexvol") == kWorks + "1");
    CHECK(machine.read(".plexvol.previous") == kWorks + "2");
  }
  SUBCASE("not by an installation, which leaves no name of it behind") {
    drop_driver(machine.root, machine.plugins, machine.program(kWorks + "3"), {});
    roll_back(machine.root, machine.plugins);
    CHECK(machine.read("plexvol") == kWorks + "2");
    CHECK(machine.read(".plexvol.previous") == kWorks + "3");
  }
}

TEST_CASE("what is written anew leaves a file alone that has another name, too") {
  const Machine machine;
  drop_driver(machine.root, machine.plugins, machine.program(kWorks + "1"), {});
  drop_driver(machine.root, machine.plugins, machine.program(kWorks + "2"), {});
  std::filesystem::create_hard_link(machine.folder + ".plexvol.previous",
                                    machine.folder + ".plexvol.new");
  CHECK_THROWS_AS(drop_driver(machine.root, machine.plugins, machine.program("no program"), {}),
                  plexvol::Error);
  CHECK(machine.read(".plexvol.previous") == kWorks + "1");
}
