// The address that comes later, or becomes another one.
#include "agent/reconcile/own_address.h"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "agent/reconcile/node_report.h"
#include "agent/store/file_store.h"
#include "agent/volumes/await.h"
#include "tests/unit/drbd/machine.h"

namespace plexvol::reconcile {

TEST_CASE("own address: one that is not there at the start is found later, and then kept [O3]") {
  std::string route;
  OwnAddress address("", [&] { return route; });
  CHECK(address.look().empty());
  route = "10.0.0.1";
  CHECK(address.get().empty());
  CHECK(address.look() == "10.0.0.1");
  CHECK(address.get() == "10.0.0.1");
  route = "";
  CHECK(address.look() == "10.0.0.1");
  CHECK(address.changed_to().empty());
  route = "192.168.0.7";
  CHECK(address.look() == "10.0.0.1");
  CHECK(address.changed_to() == "192.168.0.7");
  route = "10.0.0.1";
  address.look();
  CHECK(address.changed_to().empty());
}

TEST_CASE("own address: a configured one is never looked for") {
  OwnAddress address("10.0.0.1", []() -> std::string {
    FAIL("was asked");
    return "";
  });
  CHECK(address.look() == "10.0.0.1");
}

TEST_CASE("node report: the address is in the store as soon as there is one [O3]") {
  drbd::Machine machine;
  std::mutex mutex;
  std::string route;
  OwnAddress address("", [&] {
    const std::lock_guard lock(mutex);
    return route;
  });
  store::FileStore raw(machine.directory.path() / "store");
  store::TypedStore store(raw);
  const std::map<std::string, std::unique_ptr<Pool>> pools;
  // Its next regular look comes after this test's end.
  const NodeReport report(store, pools, machine.drbd,
                          {.here = "n1",
                           .session = "s1",
                           .address = [&] { return address.look(); },
                           .version = "1",
                           .mirror_error = [] { return std::string(); },
                           .pools = {},
                           .interval = std::chrono::hours(1)});
  const auto await_address = [&](const std::string& wanted) {
    volumes::Awaiter awaiter(raw, {store::keys::node("n1")});
    const auto told = [&]() -> std::optional<bool> {
      const auto node = store.find_node("n1");
      return node && node->address == wanted ? std::optional(true) : std::nullopt;
    };
    return awaiter.until<bool>(
        {.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20), .stop = {}}, told,
        [] { return std::string("the node's report"); });
  };
  CHECK(await_address(""));
  {
    const std::lock_guard lock(mutex);
    route = "10.0.0.1";
  }
  CHECK(await_address("10.0.0.1"));
}

TEST_CASE(
    "node report: keeps what it does not know of its own record, and mends an unreadable one "
    "[D6]") {
  drbd::Machine machine;
  store::FileStore raw(machine.directory.path() / "store");
  store::TypedStore store(raw);
  const auto report_over = [&](const std::string& before) {
    raw.commit({.conditions = {}, .writes = {{"nodes/n1", before}}});
    const std::map<std::string, std::unique_ptr<Pool>> pools;
    const NodeReport report(store, pools, machine.drbd,
                            {.here = "n1",
                             .session = "s1",
                             .address = [] { return std::string("10.0.0.1"); },
                             .version = "new",
                             .mirror_error = [] { return std::string(); },
                             .pools = {}});
    volumes::Awaiter awaiter(raw, {store::keys::node("n1")});
    return awaiter.until<std::string>(
        {.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20), .stop = {}},
        [&]() -> std::optional<std::string> {
          const std::string now = raw.get("nodes/n1")->value;
          return now == before ? std::nullopt : std::optional(now);
        },
        [] { return std::string("the node's report"); });
  };
  CHECK(report_over(R"({"name": "n1", "version": "old", "~later": "6.1"})").find("\"6.1\"") !=
        std::string::npos);
  CHECK(report_over("?").find("\"10.0.0.1\"") != std::string::npos);
}

}  // namespace plexvol::reconcile
