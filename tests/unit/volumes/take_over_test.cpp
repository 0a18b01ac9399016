// Who may take a volume from a node that still holds its lease.
#include <doctest/doctest.h>

#include "agent/flexvolume/flexvolume.h"
#include "agent/model/codec.h"
#include "agent/store/file_store.h"
#include "agent/volumes/use_cases.h"
#include "tests/support/counting_store.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;
using store::Change;
namespace keys = store::keys;

namespace {

// Counts the requests to let go, and tells when a call begins to wait for the answer to one.
class RequestsStore : public support::CountingStore {
 public:
  using CountingStore::CountingStore;
  bool commit(const store::Transaction& transaction) override {
    for (const auto& [key, value] : transaction.writes) {
      if (key != keys::attachment("v") || !value) continue;
      const auto release = model::from_json<model::Attachment>(*value).release;
      if (release) asked.insert(release->id);
    }
    return CountingStore::commit(transaction);
  }
  std::unique_ptr<store::Watch> watch(const std::string& prefix,
                                      store::ChangeHandler on_change) override {
    auto watch = CountingStore::watch(prefix, std::move(on_change));
    if (prefix == keys::attachment("v")) on_wait(++waits);
    return watch;
  }

  std::set<std::string> asked;
  int waits = 0;
  std::function<void(int)> on_wait = [](int) {};
};

// A volume with copies on n1, which holds it, and n2, where it is wanted. Nobody works on either
// node: n1 says nothing, unless a test does so for it.
struct TakeOverCase {
  support::TemporaryDirectory directory;
  store::FileStore raw{directory.path()};
  RequestsStore requests{raw};
  store::TypedStore store{requests};
  store::ActedSets acted{directory.path() / "acted"};
  arbiter::Arbiter arbiter{store, acted};
  mounting::MountCalls calls{[](const std::string&) {}};
  UseCases use_cases{store,
                     arbiter,
                     calls,
                     {.here = "n2", .session = "s2", .version = "1", .silence = milliseconds(100)}};
  flexvolume::FlexVolume flexvolume{use_cases, "/dev/plexvol"};
  model::Status status{};
  std::string said;

  TakeOverCase() {
    model::Volume volume;
    volume.name = "v";
    volume.id = "id";
    volume.size_bytes = 1;
    volume.fs_type = "ext4";
    volume.minor = 1000;
    volume.replicas = {{"n1", true, false}, {"n2", true, false, 1}};
    model::Attachment held;
    held.node = "n1";
    held.names = {"pv"};
    status.session = "s2";
    status.disk_state = "UpToDate";
    status.connection = "Connecting";
    store.commit(Change()
                     .put(keys::volume("v"), model::to_json(volume))
                     .put(keys::attachment("v"), model::to_json(held))
                     .put(keys::name("n1", "pv"), "v")
                     .put(keys::alive("n1"), "s1")
                     .put(keys::alive("n2"), "s2")
                     .wake(volume));
    store.put_node({.name = "n2",
                    .address = "10.0.0.2",
                    .version = "1",
                    .drbd_version = "8.4.11",
                    .mirror_error = "",
                    .pools = {}});
    set_current({"n1", "n2"});
  }
  void set_current(const std::set<std::string>& nodes) {
    store.commit(
        Change().put(keys::current("v"), model::to_json(model::Current{4, nodes, {}, {}})));
  }
  void put_status(const std::string& node, const model::Status& of_agent) {
    store.commit(Change().put(keys::status(node, "v"), model::to_json(of_agent)));
  }
  // A mount on n2, which waits for a device in vain: nobody works here.
  std::string mount_on_n2(milliseconds patience = milliseconds(1500)) {
    put_status("n2", status);
    try {
      flexvolume.mount({.options = {{"volume", "v"}, {"kubernetes.io/pvOrVolumeName", "pv"}},
                        .target = "/mnt",
                        .device = "",
                        .attached_before = false},
                       {.deadline = std::chrono::steady_clock::now() + patience, .stop = {}});
    } catch (const Error& error) {
      said = error.what();
    }
    return said;
  }
  // As soon as n1's agent is asked to let go, it says this, for as long as the answer lives.
  using Held = store::Versioned<model::Attachment>;
  std::unique_ptr<store::Watch> n1_answers(std::function<void(model::Status&, const Held&)> say) {
    return raw.watch(keys::attachment("v"), [this, say = std::move(say)](const std::string&) {
      const auto now = store.find_attachment("v");
      if (!now || !now->value.release) return;
      model::Status said_by_n1;
      said_by_n1.session = "s1";
      say(said_by_n1, *now);
      put_status("n1", said_by_n1);
    });
  }
  model::Attachment held() { return store.find_attachment("v")->value; }
  // By a call that is not one of the test's own.
  void set_release(const std::optional<model::Release>& release) {
    model::Attachment next = held();
    next.release = release;
    raw.commit(Change().put(keys::attachment("v"), model::to_json(next)).transaction());
  }
  void n1_refuses(const std::string& id, const std::string& error) {
    model::Status of_n1;
    of_n1.session = "s1";
    of_n1.refused_release = id;
    of_n1.error = error;
    put_status("n1", of_n1);
  }
};

}  // namespace

TEST_CASE("take-over: a holder that is cut off and says nothing is not waited for") {
  TakeOverCase test;
  test.mount_on_n2();
  CAPTURE(test.said);
  CHECK(test.held().node == "n2");
  CHECK(test.held().silent_session == "s1");
  // In the same step, so that never both have it.
  CHECK(test.store.find_current("v")->value.nodes == std::set<std::string>{"n2"});
  CHECK(test.store.find_current("v")->value.epoch == 5);
  CHECK_FALSE(test.store.find_named("n1", "pv"));
}

TEST_CASE("take-over: not while the copy here is connected, old, or out of the set") {
  const auto is_kept = [](const std::function<void(TakeOverCase&)>& change) {
    TakeOverCase test;
    change(test);
    test.mount_on_n2();
    return test.held().node == "n1";
  };
  CHECK(is_kept([](TakeOverCase& test) { test.status.connection = "Connected"; }));
  CHECK(is_kept([](TakeOverCase& test) { test.status.connection = ""; }));
  CHECK(is_kept([](TakeOverCase& test) { test.status.disk_state = "Outdated"; }));
  CHECK(is_kept([](TakeOverCase& test) { test.status.session = "of a former agent"; }));
  CHECK(is_kept([](TakeOverCase& test) { test.set_current({"n1"}); }));
}

TEST_CASE("take-over: a holder that answers is believed, however badly it is connected") {
  TakeOverCase test;
  // n1's agent refuses, as soon as it is asked.
  const auto answer = test.n1_answers([](model::Status& status, const auto& held) {
    status.refused_release = held.value.release->id;
    status.error = "in use by a pod";
  });
  test.mount_on_n2();
  CHECK(test.held().node == "n1");
  CHECK(test.store.find_current("v")->value.nodes.contains("n1"));
}

TEST_CASE("take-over: a holder that has seen what is asked of it is not silent") {
  TakeOverCase test;
  // It looks, and has not decided yet.
  const auto answer = test.n1_answers(
      [](model::Status& status, const auto& held) { status.attachment_revision = held.revision; });
  test.mount_on_n2();
  CHECK(test.held().node == "n1");
}

TEST_CASE("take-over: calls that come at once ask the holder once, and all hear its answer") {
  TakeOverCase test;
  std::string second;
  test.requests.on_wait = [&](int waits) {
    if (waits == 1) second = test.mount_on_n2();
    if (waits == 2) test.n1_refuses(test.held().release->id, "in use on n1: process 7");
  };
  const std::string first = test.mount_on_n2();
  CHECK(first == "in use on n1: process 7");
  CHECK(second == "in use on n1: process 7");
  CHECK(test.requests.asked.size() == 1);
  CHECK_FALSE(test.held().release);
}

TEST_CASE("take-over: a request that is there already is joined, whoever made it") {
  TakeOverCase test;
  test.set_release(model::Release{.id = "r1", .reason = "detach of pv from n1"});
  SUBCASE("the holder refuses") {
    test.requests.on_wait = [&](int) { test.n1_refuses("r1", "in use on n1: process 7"); };
    CHECK(test.mount_on_n2() == "in use on n1: process 7");
    CHECK_FALSE(test.held().release);
  }
  SUBCASE("the holder lets go") {
    test.requests.on_wait = [&](int) {
      test.raw.commit(Change().remove(keys::attachment("v")).transaction());
    };
    test.mount_on_n2();
    CHECK(test.held().node == "n2");
    CHECK(test.held().silent_session.empty());
  }
  SUBCASE("the holder is silent") {
    test.mount_on_n2();
    CHECK(test.held().node == "n2");
    CHECK(test.held().silent_session == "s1");
  }
  CHECK(test.requests.asked.empty());
}

TEST_CASE("take-over: where a joined request is withdrawn unanswered, the call asks by itself") {
  TakeOverCase test;
  test.set_release(model::Release{.id = "r1", .reason = "detach of pv from n1"});
  test.requests.on_wait = [&](int waits) {
    if (waits == 1) test.set_release({});
    if (waits == 2) test.n1_refuses(test.held().release->id, "in use on n1: process 7");
  };
  CHECK(test.mount_on_n2() == "in use on n1: process 7");
  CHECK(test.requests.asked.size() == 1);
}

TEST_CASE("take-over: a request that was refused before is no answer to a new call") {
  TakeOverCase test;
  test.set_release(model::Release{.id = "r1", .reason = "detach of pv from n1"});
  test.n1_refuses("r1", "in use on n1: process 6");
  test.requests.on_wait = [&](int) {
    CHECK(test.held().release->id != "r1");
    test.n1_refuses(test.held().release->id, "in use on n1: process 7");
  };
  CHECK(test.mount_on_n2() == "in use on n1: process 7");
}
