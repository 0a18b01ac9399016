#include "agent/volumes/await.h"

#include <doctest/doctest.h>

#include <thread>

#include "agent/api/error.h"
#include "tests/support/counting_store.h"
#include "tests/unit/volumes/quiet_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;
using std::chrono::steady_clock;
namespace keys = store::keys;

namespace {

struct AwaitCase {
  support::TemporaryDirectory directory;
  store::FileStore raw{directory.path()};
  support::CountingStore counted{raw};

  static Call call(milliseconds time) {
    return {.deadline = steady_clock::now() + time, .stop = {}};
  }
  // Waits for the key, and answers how often it looked. nullopt: its time was over.
  std::optional<int> wait_for(
      const std::string& key, milliseconds time,
      const std::function<void(int)>& at_look = [](int) {}) {
    Awaiter awaiter(counted, {"k/"});
    int looks = 0;
    const auto look = [&]() -> std::optional<int> {
      at_look(++looks);
      return counted.get(key) ? std::optional(looks) : std::nullopt;
    };
    try {
      return awaiter.until<int>(call(time), look, [] { return std::string("waited"); });
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::Unavailable);
      return std::nullopt;
    }
  }
};

}  // namespace

TEST_CASE("await: a call that waits asks the store only when something has changed [O15]") {
  AwaitCase test;
  CHECK_FALSE(test.wait_for("k/a", milliseconds(3500)).has_value());
  // At the start, once the watch stands, and when the time is over.
  CHECK(test.counted.requests.load() <= 3);
}

TEST_CASE("await: a change is seen at once, also one that comes while it looks [O15]") {
  AwaitCase test;
  const auto found = test.wait_for("k/a", std::chrono::minutes(2), [&](int look) {
    if (look == 1) test.raw.commit({.conditions = {}, .writes = {{"k/a", "x"}}});
  });
  CHECK(found == 1);
  std::jthread later;
  const auto after = test.wait_for("k/b", std::chrono::minutes(2), [&](int look) {
    if (look > 1) return;
    later = std::jthread([&] { test.raw.commit({.conditions = {}, .writes = {{"k/b", "x"}}}); });
  });
  CHECK(after.has_value());
}

TEST_CASE("await: the end of a lease is a change [O15]") {
  AwaitCase test;
  auto presence = test.raw.announce("k/alive", "s", std::chrono::seconds(10), {});
  Awaiter awaiter(test.counted, {"k/"});
  const auto gone = [&]() -> std::optional<bool> {
    if (presence) {
      presence.reset();
      return std::nullopt;
    }
    return true;
  };
  CHECK(awaiter.until<bool>(AwaitCase::call(std::chrono::minutes(2)), gone,
                            [] { return std::string("waited"); }));
}

TEST_CASE("await: it looks at the time that it was told, and only then [O15]") {
  AwaitCase test;
  Awaiter awaiter(test.counted, {"k/"});
  const auto due = steady_clock::now() + milliseconds(200);
  awaiter.look_at(due);
  const auto look = [&]() -> std::optional<bool> {
    return steady_clock::now() >= due ? std::optional(true) : std::nullopt;
  };
  CHECK(awaiter.until<bool>(AwaitCase::call(std::chrono::minutes(2)), look,
                            [] { return std::string("waited"); }));
}

TEST_CASE("await: a mount that waits for its volume asks no more often the longer it waits [O15]") {
  const auto requests_of = [](milliseconds time) {
    QuietNode node;
    support::CountingStore counted(node.raw);
    store::TypedStore store(counted);
    arbiter::Arbiter arbiter(store, node.acted);
    UseCases use_cases(store, arbiter, node.calls, {.here = "n3", .session = "s", .version = "1"});
    flexvolume::FlexVolume flexvolume(use_cases, "/dev/plexvol");
    model::Volume volume;
    volume.name = "v";
    volume.id = "id";
    volume.fs_type = "ext4";
    volume.replicas = {{"n3", true}};
    node.put(keys::volume("v"), model::to_json(volume));
    node.put(keys::alive("n3"), "s");
    node.put(keys::node("n3"), model::to_json(model::Node{.name = "n3",
                                                          .address = "",
                                                          .version = "",
                                                          .drbd_version = "",
                                                          .mirror_error = "",
                                                          .pools = {}}));
    const api::MountRequest request{.options = {{"kubernetes.io/pvOrVolumeName", "v"}},
                                    .target = "/mnt",
                                    .device = "",
                                    .attached_before = false};
    CHECK_THROWS_AS(flexvolume.mount(request, {.deadline = steady_clock::now() + time, .stop = {}}),
                    Error);
    return counted.requests.load();
  };
  // More by the one look after a second, and by that when the watch stands.
  CHECK(requests_of(milliseconds(4300)) <= requests_of(milliseconds(500)) + 2);
}
