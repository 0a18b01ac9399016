// Making volumes, and what is promised to them.
#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "tests/support/counting_store.h"
#include "tests/unit/volumes/quiet_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)
namespace keys = store::keys;

namespace {

// Something happens directly before the first write.
class InterruptedStore : public support::CountingStore {
 public:
  using CountingStore::CountingStore;
  bool commit(const store::Transaction& transaction) override {
    if (before_commit) std::exchange(before_commit, nullptr)();
    return CountingStore::commit(transaction);
  }
  std::function<void()> before_commit;
};

class LosingStore : public support::CountingStore {
 public:
  using CountingStore::CountingStore;
  bool commit(const store::Transaction& transaction) override {
    const bool done = CountingStore::commit(transaction);
    if (!done) ++lost;
    return done;
  }
  std::atomic<int> lost = 0;
};

// n3 has 10 GiB; nobody makes what is recorded.
struct CreateCase : QuietNode {
  InterruptedStore interrupted{raw};
  store::TypedStore other_store{interrupted};
  arbiter::Arbiter other_arbiter{other_store, acted};
  UseCases other_use_cases{
      other_store, other_arbiter, calls, {.here = "n3", .session = "s", .version = "1"}};
  commands::Commands other{other_use_cases, [] {}};

  CreateCase() { announce(10 * kGi); }
  static api::CreateVolumeRequest volume(const std::string& name, const std::string& size = "1Gi") {
    api::CreateVolumeRequest request;
    request.name = name;
    request.size = size;
    return request;
  }
  static ErrorCode create(commands::Commands& by, const api::CreateVolumeRequest& request) {
    try {
      by.create_volume(request, {.deadline = std::chrono::steady_clock::now(), .stop = {}});
    } catch (const Error& error) {
      return error.code();
    }
    FAIL("nobody can have made it");
    return ErrorCode::Internal;
  }
};

}  // namespace

TEST_CASE(
    "create: two volumes that are made at the same moment are not promised the same room "
    "[D16][O10]") {
  CreateCase test;
  test.interrupted.before_commit = [&] {
    CHECK(CreateCase::create(test.commands, CreateCase::volume("first", "6Gi")) ==
          ErrorCode::Unavailable);
  };
  CHECK(CreateCase::create(test.other, CreateCase::volume("second", "6Gi")) ==
        ErrorCode::OutOfSpace);
  CHECK(test.store.find_volume("first").has_value());
  CHECK_FALSE(test.store.find_volume("second").has_value());
  // What fits beside it is made all the same.
  CHECK(CreateCase::create(test.other, CreateCase::volume("third", "4Gi")) ==
        ErrorCode::Unavailable);
  CHECK(test.store.find_volume("third").has_value());
  const auto pool = test.commands.list_nodes().front().pools.front();
  CHECK(pool.promised_bytes == 10 * kGi);
}

TEST_CASE(
    "create: no volume is called as a section of DRBD's configuration, one that is is shown [O5]") {
  CreateCase test;
  CHECK(CreateCase::create(test.commands, CreateCase::volume("global")) ==
        ErrorCode::InvalidArgument);
  model::Volume volume = QuietNode::new_volume();
  volume.name = "global";
  test.put(keys::volume("global"), model::to_json(volume));
  CHECK(test.commands.show_volume("global").name == "global");
  try {
    test.commands.delete_volume("global",
                                {.deadline = std::chrono::steady_clock::now(), .stop = {}});
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Unavailable);  // n3 does not wait for the two that have it
  }
  CHECK(test.store.find_volume("global")->value.deleting);
}

TEST_CASE("create: what exists with other words is not what is asked for [O6]") {
  CreateCase test;
  api::CreateVolumeRequest request = CreateCase::volume("v");
  request.mkfs_options = "-I 256";
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::Unavailable);
  CHECK(CreateCase::create(test.commands, CreateCase::volume("v")) == ErrorCode::Unavailable);
  request.mkfs_options = "-I 512";
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::AlreadyExists);
  request = CreateCase::volume("v");
  request.nodes = {"n1"};
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::AlreadyExists);
  request = CreateCase::volume("v");
  request.tenant = "a";
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::AlreadyExists);
}

TEST_CASE("create: the node that must have a copy is asked of a new volume only") {
  CreateCase test;
  api::CreateVolumeRequest request = CreateCase::volume("v");
  request.first_node = "n9";
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::OutOfSpace);
  CHECK_FALSE(test.store.find_volume("v").has_value());
  request.first_node = "n3";
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::Unavailable);
  REQUIRE(test.store.find_volume("v").has_value());
  CHECK(test.store.find_volume("v")->value.find_replica("n3") != nullptr);
  // The same call again, after its caller has died and chosen another node.
  request.first_node = "n9";
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::Unavailable);
}

TEST_CASE("create: another first node is asked for by OutOfSpace, and by nothing else") {
  CreateCase test;
  const auto announce = [&](const std::string& name, std::uint64_t room) {
    test.put(keys::alive(name), "s");
    test.put(keys::node(name),
             model::to_json(model::Node{.name = name,
                                        .address = "10.0.0.1",
                                        .version = "1",
                                        .drbd_version = "8.4.11",
                                        .mirror_error = "",
                                        .pools = {{"p", "lvm", room, room, ""}}}));
  };
  announce("n3", 10 * kGi);
  announce("n4", 10 * kGi);
  announce("n5", kGi);
  api::CreateVolumeRequest request = CreateCase::volume("v", "2Gi");
  request.replicas = 2;
  request.first_node = "n5";
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::OutOfSpace);
  announce("n4", kGi);
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::Unavailable);
  request.first_node = "n3";
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::Unavailable);
  CHECK_FALSE(test.store.find_volume("v").has_value());

  // It is recorded, so its copies have their nodes.
  announce("n4", 10 * kGi);
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::Unavailable);
  REQUIRE(test.store.find_volume("v").has_value());
  model::Status full;
  full.error = "lvcreate: insufficient free space";
  full.error_code = ErrorCode::OutOfSpace;
  test.put(keys::status("n3", "v"), model::to_json(full));
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::Unavailable);
  request.first_node = "";
  CHECK(CreateCase::create(test.commands, request) == ErrorCode::OutOfSpace);
}

TEST_CASE("create: names and numbers are checked, whatever door they came by") {
  CreateCase test;
  const auto refused = [&](const std::function<void(NewVolume&)>& change) {
    NewVolume wanted;
    wanted.name = "v";
    wanted.size_bytes = kGi;
    change(wanted);
    try {
      test.use_cases.creation.create_and_await(wanted, {.deadline = {}, .stop = {}});
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::InvalidArgument);
      return test.store.list_volumes().empty();
    }
    return false;
  };
  CHECK(refused([](NewVolume& wanted) { wanted.name = "../v"; }));
  CHECK(refused([](NewVolume& wanted) { wanted.nodes = {"n3", "n3/x"}; }));
  CHECK(refused([](NewVolume& wanted) { wanted.first_node = "n3/x"; }));
  CHECK(refused([](NewVolume& wanted) {
    wanted.nodes = {"n3"};
    wanted.first_node = "n4";
  }));
  CHECK(refused([](NewVolume& wanted) { wanted.pool = "p q"; }));
  CHECK(refused([](NewVolume& wanted) { wanted.tenant = "A B"; }));
  CHECK(refused([](NewVolume& wanted) { wanted.replicas = 3; }));
  CHECK(refused([](NewVolume& wanted) { wanted.fs_type = "ntfs"; }));
  CHECK(refused([](NewVolume& wanted) {
    wanted.fs_type = "xfs";
    wanted.size_bytes = 1U << 20U;
  }));
}

TEST_CASE("create: those that come to one agent at once never make each other read again") {
  QuietNode node;
  node.announce(10 * kGi);
  LosingStore losing(node.raw);
  store::TypedStore store(losing);
  arbiter::Arbiter arbiter(store, node.acted);
  UseCases use_cases{store, arbiter, node.calls, {.here = "n3", .session = "s", .version = "1"}};
  std::vector<std::jthread> callers;
  for (int number = 0; number < 16; ++number) {
    callers.emplace_back([&, number] {
      NewVolume wanted;
      wanted.name = "v" + std::to_string(number);
      wanted.size_bytes = kGi / 16;
      use_cases.creation.create(wanted);
    });
  }
  callers.clear();
  CHECK(store.list_volumes().size() == 16);
  CHECK(losing.lost == 0);
}
