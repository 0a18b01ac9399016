#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "agent/drbd/drbd.h"
#include "tests/support/data_file.h"
#include "tests/unit/drbd/machine.h"
#include "tests/unit/drbd/resource.h"

using plexvol::ErrorCode;
using plexvol::drbd::Drbd;
using plexvol::drbd::Failure;
using plexvol::drbd::failure_of;
using plexvol::drbd::give_usermode_helper_back;
using plexvol::drbd::Machine;
using plexvol::drbd::set_usermode_helper;
using plexvol::drbd::take_usermode_helper;
using plexvol::drbd::usermode_helper;
using plexvol::process::Command;
using plexvol::process::Output;
using plexvol::process::Runner;

namespace {

// modprobe that does load something.
class LoadingRunner : public Runner {
 public:
  LoadingRunner(const Machine& machine, std::string version)
      : machine_(machine), version_(std::move(version)) {}
  Output run(const Command& command) override {
    CHECK(command.argv == std::vector<std::string>{"/usr/sbin/modprobe", "drbd"});
    machine_.write("module/version", version_ + "\n");
    return {};
  }

 private:
  const Machine& machine_;
  std::string version_;
};

}  // namespace

TEST_CASE("the module's version is read from sysfs, or from /proc when it is built in") {
  const Machine machine;
  CHECK(machine.drbd.module_version().empty());
  machine.write("proc", "version: 8.4.10 (api:1/proto:86-101)\nsrcversion: 0\n");
  CHECK(machine.drbd.module_version() == "8.4.10");
  machine.write("module/version", "8.4.11\n");
  CHECK(machine.drbd.module_version() == "8.4.11");
  machine.write("proc", "something else");
  std::filesystem::remove(machine.path("module/version"));
  CHECK(machine.drbd.module_version().empty());
}

TEST_CASE("a loaded module is not loaded again") {
  Machine machine;
  machine.write("module/version", "8.4.11\n");
  machine.drbd.load_module();
  CHECK(machine.runner.calls().empty());
}

TEST_CASE("the module is loaded when it is not there") {
  const Machine machine;
  LoadingRunner runner(machine, "8.4.11");
  Drbd drbd(runner, {.config_directory = machine.path("config"), .module = machine.module});
  CHECK_NOTHROW(drbd.load_module());
}

TEST_CASE("a kernel without DRBD is Unsupported, with modprobe's reason") {
  Machine machine;
  machine.runner.expect({"/usr/sbin/modprobe", "drbd"},
                        {.exit_code = 1,
                         .out = {},
                         .err = "modprobe: FATAL: Module drbd not found in directory /lib/m\n"});
  const Failure failure = failure_of([&] { machine.drbd.load_module(); });
  CHECK(failure.code == ErrorCode::Unsupported);
  CHECK(failure.message.find("FATAL: Module drbd not found") != std::string::npos);
}

TEST_CASE("DRBD 9 is Unsupported") {
  const Machine machine;
  LoadingRunner runner(machine, "9.2.4");
  Drbd drbd(runner, {.config_directory = machine.path("config"), .module = machine.module});
  const Failure failure = failure_of([&] { drbd.load_module(); });
  CHECK(failure.code == ErrorCode::Unsupported);
  CHECK(failure.message.find("9.2.4") != std::string::npos);
}

TEST_CASE("the helper is written without a newline") {
  const Machine machine;
  machine.write("module/parameters/usermode_helper", "/sbin/drbdadm\n");
  CHECK(usermode_helper(machine.module) == "/sbin/drbdadm");
  const std::string program = machine.make_program("helper");
  REQUIRE(program.size() < 80);
  set_usermode_helper(program, machine.module);
  CHECK(std::filesystem::file_size(machine.path("module/parameters/usermode_helper")) ==
        program.size());
  CHECK(usermode_helper(machine.module) == program);
}

TEST_CASE("a helper that could never be called is refused, and the old one stays") {
  const Machine machine;
  machine.write("module/parameters/usermode_helper", "/sbin/drbdadm\n");
  machine.write("text", "not executable");
  const std::string folder(79, 'd');
  for (const std::string& path :
       {std::string("helper"), machine.path("missing"), machine.path("text"),
        machine.path("module"), machine.make_program("a b"), machine.make_program(folder)}) {
    CAPTURE(path);
    const Failure failure = failure_of([&] { set_usermode_helper(path, machine.module); });
    CHECK_FALSE(failure.message.empty());
    CHECK(failure.code == ErrorCode::InvalidArgument);
    CHECK(usermode_helper(machine.module) == "/sbin/drbdadm");
  }
}

TEST_CASE("without the module there is no helper to ask for or to set") {
  const Machine machine;
  CHECK(failure_of([&] { usermode_helper(machine.module); }).code == ErrorCode::Unsupported);
  const std::string program = machine.make_program("helper");
  CHECK(failure_of([&] { set_usermode_helper(program, machine.module); }).code ==
        ErrorCode::Unsupported);
}

TEST_CASE("what was the helper before is put back, unless somebody else has taken it") {
  const Machine machine;
  const std::string parameter = "module/parameters/usermode_helper";
  machine.write(parameter, "/sbin/drbdadm\n");
  const std::string program = machine.make_program("helper");
  const std::string memory = machine.path("before");
  const auto give_back = [&] { return give_usermode_helper_back(program, memory, machine.module); };
  take_usermode_helper(program, memory, machine.module);
  take_usermode_helper(program, memory, machine.module);  // the next start
  CHECK(usermode_helper(machine.module) == program);
  SUBCASE("it is ours") {
    CHECK(give_back() == "/sbin/drbdadm");
    CHECK(usermode_helper(machine.module) == "/sbin/drbdadm");
    CHECK(give_back().empty());
  }
  SUBCASE("it is another's") {
    machine.write(parameter, "/opt/other\n");
    CHECK(give_back().empty());
    CHECK(usermode_helper(machine.module) == "/opt/other");
  }
  CHECK_FALSE(std::filesystem::exists(memory));
}
