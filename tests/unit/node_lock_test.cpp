// What keeps two agents apart.
#include "agent/node_lock.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "agent/api/error.h"
#include "agent/machine_id.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol;  // NOLINT(google-build-using-namespace)

namespace {

struct Machine {
  support::TemporaryDirectory directory;
  std::string state = directory.path() / "state";
  MachineFiles files{.host_root = directory.path() / "root",
                     .product_uuid = directory.path() / "product_uuid"};

  Machine() {
    std::filesystem::create_directories(state);
    std::filesystem::create_directories(files.host_root + "/etc");
  }
  void set_system_id(const std::string& text) const {
    std::ofstream(files.host_root + "/etc/machine-id") << text;
  }
  void set_firmware_id(const std::string& text) const { std::ofstream(files.product_uuid) << text; }
  std::string id() const { return find_machine_id(state, files); }
};

}  // namespace

TEST_CASE("node lock: a second agent on a node is refused, and told who is the first [D8]") {
  const support::TemporaryDirectory directory;
  const std::string state = directory.path() / "made" / "state";
  {
    const NodeLock first(state);
    try {
      const NodeLock second(state);
      FAIL("was not refused");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::Conflict);
      const std::string said = error.what();
      CHECK_MESSAGE(said.find("in use by process " + std::to_string(::getpid())) != said.npos,
                    said);
      CHECK_MESSAGE(said.find(state) != said.npos, said);
    }
  }
  CHECK_NOTHROW(NodeLock{state});
}

TEST_CASE("machine id: the system's, else the firmware's, else one that is kept [D8]") {
  const Machine machine;
  const std::string own = machine.id();
  CHECK(own.size() == 32);
  CHECK(machine.id() == own);
  // What firmware says that nobody has told its number.
  for (const char* none :
       {"00000000-0000-0000-0000-000000000000\n", "Not Settable\n", "",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n", "03000200-0400-0500-0006-000700080009\n"}) {
    machine.set_firmware_id(none);
    CHECK(machine.id() == own);
  }
  machine.set_firmware_id("4C4C4544-0042-3510-8054-B7C04F4E3232\n");
  CHECK(machine.id() == "4c4c4544004235108054b7c04f4e3232");
  for (const char* none : {"uninitialized\n", "", "\n", "3d1219c7c4c5404aaa1f6d2a48adfd\n"}) {
    machine.set_system_id(none);
    CHECK(machine.id() == "4c4c4544004235108054b7c04f4e3232");
  }
  machine.set_system_id("3d1219c7c4c5404aaa1f6d2a48adfda4\n");
  CHECK(machine.id() == "3d1219c7c4c5404aaa1f6d2a48adfda4");
}

TEST_CASE("machine id: two machines that make theirs up have two") {
  CHECK(Machine().id() != Machine().id());
}

TEST_CASE("machine id: none where none can be kept") {
  Machine machine;
  machine.state = machine.directory.path() / "file";
  std::ofstream(machine.state) << "in the way";
  CHECK(machine.id() == "");
}
