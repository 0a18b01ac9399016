#include "agent/reconcile/replace.h"

#include <doctest/doctest.h>

#include "agent/model/codec.h"
#include "agent/reconcile/peers.h"
#include "agent/store/file_store.h"
#include "agent/store/taken.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/reconcile/plan_cases.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)
using store::Change;
namespace keys = store::keys;
using Nodes = std::set<std::string>;

namespace {

constexpr std::uint64_t kGi = 1ULL << 30;

// n1 and n2 have a copy; n3 and n4 could take one, n3 with more room.
struct ReplaceCase {
  support::TemporaryDirectory directory;
  store::FileStore raw{directory.path()};
  store::TypedStore store{raw};
  store::ActedSets acted{directory.path() / "acted"};
  arbiter::Arbiter arbiter{store, acted};

  ReplaceCase() {
    const Wanted wanted = cases::mirrored();
    put(keys::volume("v"), model::to_json(wanted.volume));
    put(keys::current("v"), model::to_json(*wanted.current));
    for (const char* node : {"n1", "n2", "n3", "n4"}) add_node(node);
    put(keys::node("n3"), model::to_json(node("n3", 9)));
  }
  static model::Node node(const std::string& name, std::uint64_t free_gi) {
    return {.name = name,
            .address = "10.0.0.1",
            .version = "1",
            .drbd_version = "8.4.11",
            .mirror_error = "",
            .pools = {{"p", "lvm", 10 * kGi, free_gi * kGi, ""}}};
  }
  void put(const std::string& key, const std::string& value) {
    store.commit(Change().put(key, value));
  }
  void remove(const std::string& key) { store.commit(Change().remove(key)); }
  void add_node(const std::string& name) {
    put(keys::node(name), model::to_json(node(name, 5)));
    put(keys::alive(name), "x");
  }
  void cordon(const std::string& name, bool drain, bool forget) {
    put(keys::cordon(name), model::to_json(model::Cordon{drain, forget, 0}));
  }
  // As a pass sees it.
  Wanted wanted(PeerFate fate) {
    Wanted wanted;
    wanted.here = "n1";
    wanted.volume = volume();
    wanted.current = current();
    wanted.current_revision = store.find_current("v")->revision;
    wanted.peer_fate = fate;
    return wanted;
  }
  bool replace(PeerFate fate, bool has_turn = true) {
    return replace_peer(wanted(fate), store, arbiter, [&] { return has_turn; });
  }
  // From n2 to n4.
  model::Volume ask_to_move() {
    model::Volume volume = this->volume();
    volume.leaving = "n2";
    volume.arriving = "n4";
    put(keys::volume("v"), model::to_json(volume));
    return volume;
  }
  // The copy on n3 that was to follow the one on n2.
  void move_to_third(bool made) {
    model::Volume volume = this->volume();
    volume.replicas = {{"n1", true}, {"n3", made, true}};
    volume.former = {"n2"};
    put(keys::volume("v"), model::to_json(volume));
    model::Current current = this->current();
    current.nodes = {"n1"};
    put(keys::current("v"), model::to_json(current));
  }
  model::Volume volume() { return store.find_volume("v")->value; }
  model::Current current() { return store.find_current("v")->value; }
  Nodes nodes() {
    const auto names = volume().nodes();
    return {names.begin(), names.end()};
  }
  template <class F>
  ErrorCode refusal(F call) {
    const std::string before = model::to_json(volume()) + model::to_json(current());
    try {
      call();
    } catch (const Error& error) {
      CHECK(model::to_json(volume()) + model::to_json(current()) == before);
      return error.code();
    }
    FAIL("not refused");
    return ErrorCode::Internal;
  }
};

}  // namespace

TEST_CASE("replace: in one step the old copy is out of the set, and a new one is asked for") {
  ReplaceCase store;
  store.remove(keys::alive("n2"));
  store.replace(PeerFate::Gone);
  CHECK(store.nodes() == Nodes{"n1", "n3"});
  const model::Volume volume = store.volume();
  const model::Replica* fresh = volume.find_replica("n3");
  REQUIRE(fresh != nullptr);
  CHECK_FALSE(fresh->made);
  CHECK(fresh->filled_by_peer);
  CHECK(fresh->number == 1);  // of the copy that it replaces
  CHECK(volume.former == Nodes{"n2"});
  CHECK(store.current().nodes == Nodes{"n1"});
  CHECK(store.current().epoch == 2);
  CHECK(store.current().left.contains("n2"));
  for (const char* node : {"n1", "n2", "n3"}) {
    CHECK(store.store.list_assigned(node) == Nodes{"v"});
  }
}

// NOLINTNEXTLINE(readability-function-size): doctest's macros
TEST_CASE("replace: refused when anything it rests on is no longer so") {
  ReplaceCase store;
  const auto gone = [&] { store.replace(PeerFate::Gone); };
  SUBCASE("the node is back") {
    CHECK(store.refusal(gone) == ErrorCode::Unavailable);
  }
  SUBCASE("the copy here is not in the set") {
    store.put(keys::current("v"), model::to_json(model::Current{1, {"n2"}, {}, {}}));
    store.remove(keys::alive("n2"));
    CHECK(store.refusal(gone) == ErrorCode::Unavailable);
  }
  SUBCASE("the set has changed since it was looked at") {
    store.remove(keys::alive("n2"));
    const Wanted before = store.wanted(PeerFate::Gone);
    store.put(keys::current("v"), model::to_json(model::Current{2, {"n1"}, {}, {}}));
    CHECK(store.refusal([&] {
      replace_peer(before, store.store, store.arbiter, [] { return true; });
    }) == ErrorCode::Unavailable);
  }
  SUBCASE("the volume is being deleted") {
    model::Volume volume = store.volume();
    volume.deleting = true;
    store.put(keys::volume("v"), model::to_json(volume));
    CHECK(store.refusal(gone) == ErrorCode::Unavailable);
  }
  SUBCASE("nobody wants the node empty any more") {
    CHECK(store.refusal([&] { store.replace(PeerFate::Drained); }) == ErrorCode::Unavailable);
    store.cordon("n2", false, false);
    CHECK(store.refusal([&] { store.replace(PeerFate::Drained); }) == ErrorCode::Unavailable);
  }
  SUBCASE("it was attached to the node that is to be drained") {
    store.cordon("n2", true, false);
    store.put(keys::attachment("v"),
              model::to_json(model::Attachment{"n2", 0, model::Holder::Mount, {}, {}, {}}));
    CHECK(store.refusal([&] { store.replace(PeerFate::Drained); }) == ErrorCode::Unavailable);
  }
}

// NOLINTNEXTLINE(readability-function-size): doctest's macros
TEST_CASE("replace: not onto a node that is cordoned, away, or still has its former copy") {
  ReplaceCase store;
  store.cordon("n2", true, false);
  store.cordon("n3", false, false);
  SUBCASE("the next best takes it") {
    store.replace(PeerFate::Drained);
    CHECK(store.nodes() == Nodes{"n1", "n4"});
  }
  SUBCASE("none is left") {
    store.remove(keys::alive("n4"));
    CHECK(store.refusal([&] { store.replace(PeerFate::Drained); }) == ErrorCode::OutOfSpace);
  }
  SUBCASE("a former copy is in the way") {
    model::Volume volume = store.volume();
    volume.former = {"n4"};
    store.put(keys::volume("v"), model::to_json(volume));
    CHECK(store.refusal([&] { store.replace(PeerFate::Drained); }) == ErrorCode::OutOfSpace);
  }
}

// NOLINTNEXTLINE(readability-function-size): doctest's macros
TEST_CASE("replace: what is lost for good is given up even when no node can take a new copy") {
  ReplaceCase store;
  store.remove(keys::alive("n2"));
  store.cordon("n2", true, true);
  for (const char* node : {"n3", "n4"}) store.remove(keys::alive(node));
  store.replace(PeerFate::Lost);
  CHECK(store.nodes() == Nodes{"n1"});
  CHECK(store.current().nodes == Nodes{"n1"});
  CHECK(store.volume().former == Nodes{"n2"});
  SUBCASE("and made anew when one can") {
    CHECK(store.refusal([&] { store.replace(PeerFate::Lost); }) == ErrorCode::OutOfSpace);
    store.put(keys::alive("n4"), "x");
    store.replace(PeerFate::Lost);
    CHECK(store.nodes() == Nodes{"n1", "n4"});
    CHECK(store.current().nodes == Nodes{"n1"});
  }
}

TEST_CASE("peers: gone is who was seen to be away for the whole grace time") {
  ReplaceCase store;
  Peers peers(std::chrono::seconds(600));
  const Peers::Clock::time_point start{};
  const auto at = [&](int seconds) { return start + std::chrono::seconds(seconds); };
  const auto away_through = [&](const std::string& node, int first, int last) {
    for (int second = first; second <= last; second += 75) peers.note(node, false, at(second));
  };
  away_through("n2", 0, 525);
  peers.note("n1", true, at(525));
  CHECK(peers.fate_of("n2", at(599)) == PeerFate::Stays);
  CHECK(peers.fate_of("n2", at(600)) == PeerFate::Gone);
  CHECK(peers.fate_of("n1", at(600)) == PeerFate::Stays);
  SUBCASE("that look was long ago, and what was in between nobody has seen") {
    peers.note("n2", false, at(525 + 180));
    CHECK(peers.fate_of("n2", at(525 + 180)) == PeerFate::Stays);
  }
  SUBCASE("it came back in between") {
    peers.note("n2", true, at(601));
    away_through("n2", 602, 1200);
    CHECK(peers.fate_of("n2", at(1201)) == PeerFate::Stays);
    CHECK(peers.fate_of("n2", at(1202)) == PeerFate::Gone);
  }
  SUBCASE("a person's word counts at once, and lost is only who is away") {
    store.cordon("n1", false, false);
    store.cordon("n2", true, true);
    store.cordon("n3", true, false);
    store.cordon("n4", true, true);
    CHECK(peers.look_at_cordons(store.store) == Nodes{"n1", "n2", "n3", "n4"});
    CHECK(peers.look_at_cordons(store.store).empty());
    peers.note("n2", false, at(526));
    CHECK(peers.fate_of("n1", at(526)) == PeerFate::Stays);
    CHECK(peers.fate_of("n2", at(526)) == PeerFate::Lost);
    CHECK(peers.fate_of("n3", at(526)) == PeerFate::Drained);
    CHECK(peers.fate_of("n4", at(526)) == PeerFate::Stays);
    CHECK(peers.fate_of("", at(526)) == PeerFate::Lost);
    store.cordon("n3", false, false);
    store.remove(keys::cordon("n4"));
    CHECK(peers.look_at_cordons(store.store) == Nodes{"n3", "n4"});
  }
  SUBCASE("who was to be drained and died is gone") {
    store.cordon("n2", true, false);
    peers.look_at_cordons(store.store);
    CHECK(peers.list_drained() == Nodes{"n2"});
    CHECK(peers.fate_of("n2", at(600)) == PeerFate::Gone);
  }
}

TEST_CASE("replace: who loses its copy loses the attachment, which it could never let go of") {
  ReplaceCase store;
  store.remove(keys::alive("n2"));
  store.put(keys::attachment("v"),
            model::to_json(model::Attachment{"n2", 0, model::Holder::Mount, {"pv"}, {}, {}}));
  store.put(keys::name("n2", "pv"), "v");
  store.replace(PeerFate::Gone);
  CHECK_FALSE(store.store.find_attachment("v"));
  CHECK_FALSE(store.store.find_named("n2", "pv"));
}

TEST_CASE(
    "replace: whose turn it is not changes nothing, and is asked only where there is a place") {
  ReplaceCase store;
  store.cordon("n2", true, false);
  CHECK_FALSE(store.replace(PeerFate::Drained, false));
  CHECK(store.nodes() == Nodes{"n1", "n2"});
  store.remove(keys::alive("n3"));
  store.remove(keys::alive("n4"));
  bool was_asked = false;
  CHECK(store.refusal([&] {
    replace_peer(store.wanted(PeerFate::Drained), store.store, store.arbiter,
                 [&] { return was_asked = true; });
  }) == ErrorCode::OutOfSpace);
  CHECK_FALSE(was_asked);
}

TEST_CASE("replace: who cannot make its copy is done without, and another node is asked") {
  ReplaceCase store;
  store.move_to_third(false);
  store.replace(PeerFate::Unable);
  CHECK(store.nodes() == Nodes{"n1", "n4"});
  CHECK(store.volume().former == Nodes{"n2", "n3"});
  SUBCASE("not once it is made") {
    store.move_to_third(true);
    CHECK(store.refusal([&] { store.replace(PeerFate::Unable); }) == ErrorCode::Unavailable);
  }
}

TEST_CASE("replace: also of the first copies one that cannot be made is done without [D16]") {
  ReplaceCase store;
  model::Volume volume = store.volume();
  volume.replicas[1].made = false;
  store.put(keys::volume("v"), model::to_json(volume));
  store.replace(PeerFate::Unable);
  CHECK(store.nodes() == Nodes{"n1", "n3"});
  CHECK(store.volume().find_replica("n3")->filled_by_peer);
  CHECK(store.current().nodes == Nodes{"n1"});
}

TEST_CASE("replace: a former copy that waits for one that is gone takes its place") {
  ReplaceCase store;
  store.move_to_third(true);
  for (const char* node : {"n3", "n4"}) store.remove(keys::alive(node));
  SUBCASE("its node can be used") {
    store.replace(PeerFate::Gone);
    CHECK(store.nodes() == Nodes{"n1"});
    CHECK(store.volume().former == Nodes{"n2", "n3"});
    // Once n2 has removed it.
    model::Volume volume = store.volume();
    volume.former = {"n3"};
    store.put(keys::volume("v"), model::to_json(volume));
    store.replace(PeerFate::Lost);
    CHECK(store.nodes() == Nodes{"n1", "n2"});
  }
  SUBCASE("a person wants its node empty") {
    store.cordon("n2", true, false);
    CHECK(store.refusal([&] { store.replace(PeerFate::Gone); }) == ErrorCode::OutOfSpace);
  }
  SUBCASE("it is away, too") {
    store.remove(keys::alive("n2"));
    CHECK(store.refusal([&] { store.replace(PeerFate::Gone); }) == ErrorCode::OutOfSpace);
  }
}

TEST_CASE("replace: room that is promised to one volume is not promised to the next") {
  ReplaceCase store;
  store.remove(keys::alive("n2"));
  store.put(keys::node("n3"), model::to_json(ReplaceCase::node("n3", 6)));
  model::Volume other = store.volume();
  other.name = "other";
  other.size_bytes = 2 * kGi;
  other.replicas = {{"n1", true}, {"n3", false, true}};
  store.put(keys::volume("other"), model::to_json(other));
  store.put(keys::assigned("n3", "other"), other.id);
  store.replace(PeerFate::Gone);
  CHECK(store.nodes() == Nodes{"n1", "n4"});
}

TEST_CASE("replace: a copy whose disk was replaced is made again on its own node [D14]") {
  ReplaceCase store;
  const auto say = [&](bool gone, const std::string& session = "x") {
    model::Status status;
    status.session = session;
    status.backing_gone = gone;
    store.put(keys::status("n2", "v"), model::to_json(status));
  };
  say(true);
  SUBCASE("where there is room, whoever else has more") {
    store.replace(PeerFate::BackingGone);
    CHECK(store.nodes() == Nodes{"n1", "n2"});
    const auto volume = store.volume();
    CHECK_FALSE(volume.find_replica("n2")->made);
    CHECK(volume.find_replica("n2")->filled_by_peer);
    CHECK(volume.former.empty());
    CHECK(store.current().nodes == Nodes{"n1"});
  }
  SUBCASE("else on another one") {
    store.cordon("n2", false, false);
    store.replace(PeerFate::BackingGone);
    CHECK(store.nodes() == Nodes{"n1", "n3"});
    CHECK(store.volume().former == Nodes{"n2"});
  }
  SUBCASE("not on the word of an agent that is gone, or that has found it since") {
    say(true, "older");
    CHECK(store.refusal([&] { store.replace(PeerFate::BackingGone); }) == ErrorCode::Unavailable);
    say(false);
    CHECK(store.refusal([&] { store.replace(PeerFate::BackingGone); }) == ErrorCode::Unavailable);
  }
  SUBCASE("not while the volume is attached there") {
    store.put(keys::attachment("v"),
              model::to_json(model::Attachment{"n2", 0, model::Holder::Mount, {}, {}, {}}));
    CHECK(store.refusal([&] { store.replace(PeerFate::BackingGone); }) == ErrorCode::Unavailable);
  }
}

TEST_CASE("replace: no node is chosen where something else has the volume's minor or port [D15]") {
  ReplaceCase store;
  store.cordon("n2", true, false);
  store::put_taken(store.store, "n3", {.minors = {1000}, .ports = {}});
  store.replace(PeerFate::Drained);
  CHECK(store.nodes() == Nodes{"n1", "n4"});
}

TEST_CASE("replace: a copy that moves goes where it is to go, while nobody uses it") {
  ReplaceCase test;
  model::Volume volume = test.ask_to_move();
  SUBCASE("to the named node, though another one has more room") {
    CHECK(test.replace(PeerFate::Moved));
    CHECK(test.volume().find_replica("n4") != nullptr);
    CHECK(test.volume().find_replica("n2") == nullptr);
    CHECK(test.volume().former == Nodes{"n2"});
    CHECK(test.volume().leaving.empty());
    CHECK(test.volume().arriving.empty());
    CHECK(test.current().nodes == Nodes{"n1"});
  }
  SUBCASE("not when that is away") {
    test.remove(keys::alive("n4"));
    try {
      test.replace(PeerFate::Moved);
      FAIL("it went elsewhere");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::OutOfSpace);
    }
    CHECK(test.volume().find_replica("n2") != nullptr);
  }
  SUBCASE("not when somebody has taken it back") {
    const Wanted wanted = test.wanted(PeerFate::Moved);
    volume.leaving.clear();
    test.put(keys::volume("v"), model::to_json(volume));
    CHECK_THROWS_AS(replace_peer(wanted, test.store, test.arbiter, [] { return true; }), Error);
    CHECK(test.current().nodes == Nodes{"n1", "n2"});
  }
}

TEST_CASE("replace: a copy that is no longer wanted goes without another one") {
  ReplaceCase test;
  model::Volume volume = test.volume();
  volume.leaving = "n2";
  volume.copies_asked = 1;
  test.put(keys::volume("v"), model::to_json(volume));
  SUBCASE("at once") {
    CHECK(test.replace(PeerFate::Unwanted));
    CHECK(test.volume().nodes() == std::vector<std::string>{"n1"});
    CHECK(test.volume().former == Nodes{"n2"});
    CHECK(test.volume().copies_asked == 1);
    CHECK(test.current().nodes == Nodes{"n1"});
  }
  SUBCASE("not while its pod is there") {
    model::Attachment attachment;
    attachment.node = "n2";
    test.put(keys::attachment("v"), model::to_json(attachment));
    CHECK_THROWS_AS(test.replace(PeerFate::Unwanted), Error);
    CHECK(test.volume().former.empty());
  }
  SUBCASE("not when two are wanted again") {
    volume.copies_asked = 0;
    test.put(keys::volume("v"), model::to_json(volume));
    CHECK_THROWS_AS(test.replace(PeerFate::Unwanted), Error);
  }
}

TEST_CASE("replace: where a copy was to move to matters for that move alone") {
  ReplaceCase test;
  test.ask_to_move();
  test.remove(keys::alive("n4"));
  test.remove(keys::alive("n2"));
  CHECK(test.replace(PeerFate::Gone));
  CHECK(test.volume().find_replica("n3") != nullptr);
  CHECK(test.volume().leaving.empty());
}
