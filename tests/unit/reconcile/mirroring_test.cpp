// Whether mirrored volumes can be on a node, looked at again and again.
#include "agent/reconcile/mirroring.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <memory>

#include "agent/reconcile/node_report.h"
#include "agent/store/file_store.h"
#include "agent/volumes/await.h"
#include "tests/unit/drbd/machine.h"

namespace plexvol::reconcile {

namespace {

struct Machine : drbd::Machine {
  const std::string helper = make_program("helper");
  const std::string memory = path("before");
  Mirroring mirroring{drbd,
                      {.address = [] { return std::string("10.0.0.1"); },
                       .helper = helper,
                       .helper_memory = memory,
                       .module = module}};

  Machine() { load_module(); }

  void load_module() const {
    write("module/version", "8.4.11\n");
    write("module/parameters/usermode_helper", "/sbin/drbdadm\n");
  }
  void unload_module() const { std::filesystem::remove_all(path("module")); }
  void expect_failing_modprobe() {
    runner.expect({"/usr/sbin/modprobe", "drbd"},
                  {.exit_code = 1, .out = {}, .err = "modprobe: FATAL: Module drbd not found\n"});
  }
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("mirroring: DRBD's helper is taken back from whoever writes it later, by no process") {
  Machine machine;
  CHECK(machine.mirroring.keep().empty());
  CHECK(drbd::usermode_helper(machine.module) == machine.helper);
  machine.write("module/parameters/usermode_helper", "/opt/other\n");
  CHECK(machine.mirroring.keep().empty());
  CHECK(drbd::usermode_helper(machine.module) == machine.helper);
  machine.unload_module();
  machine.load_module();
  CHECK(machine.mirroring.keep().empty());
  CHECK(drbd::usermode_helper(machine.module) == machine.helper);
  CHECK(machine.runner.calls().empty());
}

TEST_CASE("mirroring: a helper that cannot be set is told, until it can") {
  Machine machine;
  CHECK(machine.mirroring.keep().empty());
  machine.write("module/parameters/usermode_helper", "/opt/other\n");
  std::filesystem::rename(machine.helper, machine.path("away"));
  CHECK(contains(machine.mirroring.keep(), "there is no such file"));
  CHECK(contains(machine.mirroring.keep(), "there is no such file"));
  std::filesystem::rename(machine.path("away"), machine.helper);
  CHECK(machine.mirroring.keep().empty());
  CHECK(drbd::usermode_helper(machine.module) == machine.helper);
}

TEST_CASE("mirroring: a module that is gone is asked for once, and found when it is back") {
  Machine machine;
  SUBCASE("missing at the start") {
    machine.unload_module();
  }
  SUBCASE("unloaded later") {
    CHECK(machine.mirroring.keep().empty());
    machine.unload_module();
  }
  machine.expect_failing_modprobe();
  CHECK(contains(machine.mirroring.keep(), "Module drbd not found"));
  CHECK(contains(machine.mirroring.keep(), "Module drbd not found"));
  CHECK(machine.runner.calls().size() == 1);
  machine.load_module();
  CHECK(machine.mirroring.keep().empty());
  CHECK(drbd::usermode_helper(machine.module) == machine.helper);
}

TEST_CASE("mirroring: each report of the node looks anew") {
  Machine machine;
  store::FileStore raw(machine.directory.path() / "store");
  store::TypedStore store(raw);
  const std::map<std::string, std::unique_ptr<Pool>> pools;
  machine.mirroring.keep();
  NodeReport report(store, pools, machine.drbd,
                    {.here = "n1",
                     .session = "s1",
                     .address = [] { return std::string("10.0.0.1"); },
                     .version = "1",
                     .mirror_error = [&] { return machine.mirroring.keep(); },
                     .pools = {}});
  const auto await_error = [&](const std::string& part) {
    volumes::Awaiter awaiter(raw, {store::keys::node("n1")});
    const auto told = [&]() -> std::optional<bool> {
      const auto node = store.find_node("n1");
      if (!node || node->mirror_error.empty() != part.empty()) return std::nullopt;
      return contains(node->mirror_error, part);
    };
    return awaiter.until<bool>(
        {.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20), .stop = {}}, told,
        [] { return std::string("the node's report"); });
  };
  CHECK(await_error(""));
  std::filesystem::rename(machine.helper, machine.path("away"));
  report.look_again();
  CHECK(await_error("there is no such file"));
  std::filesystem::rename(machine.path("away"), machine.helper);
  report.look_again();
  CHECK(await_error(""));
}

}  // namespace plexvol::reconcile
