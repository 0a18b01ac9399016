#include "agent/volumes/copies.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "tests/unit/volumes/quiet_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)
namespace keys = store::keys;

namespace {

// n3 has a copy of "v", n4 has room for one; n1 has room and is cordoned.
struct CopiesCase : QuietNode {
  model::Volume volume = put_lone_volume();

  CopiesCase() {
    for (const char* name : {"n1", "n3", "n4", "n5"}) announce_drbd(name);
    put(keys::cordon("n1"), model::to_json(model::Cordon{}));
    put_set({"n3"});
  }
  void announce_drbd(const std::string& name) {
    put(keys::alive(name), "s");
    put(keys::node(name),
        model::to_json(model::Node{.name = name,
                                   .address = "10.0.0.3",
                                   .version = "1",
                                   .drbd_version = "8.4.11",
                                   .mirror_error = "",
                                   .pools = {{"p", "lvm", 9 * kGi, 9 * kGi, ""}}}));
  }
  void put_set(const std::set<std::string>& nodes) {
    model::Current current;
    current.nodes = nodes;
    put(keys::current("v"), model::to_json(current));
  }
  void put_volume() { put(keys::volume("v"), model::to_json(volume)); }
  void mirror() {
    volume.minor = 1000;
    volume.replicas = {{"n3", true, false}, {"n4", true, false, 1}};
    put_volume();
    put_set({"n3", "n4"});
  }
  void attach(const std::string& node) {
    model::Attachment attachment;
    attachment.node = node;
    put(keys::attachment("v"), model::to_json(attachment));
  }
  model::Volume stored() { return store.find_volume("v")->value; }
  void set(unsigned number, const std::string& keep = "") {
    set_copies(store, "v", {.number = number, .keep = keep});
  }
  void move(const std::string& from, const std::string& to) {
    move_copy(store, "v", {.from = from, .to = to});
  }
  std::string pending(const std::string& attached_to = "") {
    return describe_pending(stored(), attached_to);
  }
  // Nothing changes.
  std::string refusal(ErrorCode code, const std::function<void()>& call) {
    const auto before = store.find_volume("v");
    try {
      call();
    } catch (const Error& error) {
      CHECK(error.code() == code);
      CHECK(store.find_volume("v")->revision == before->revision);
      return error.what();
    }
    FAIL("it was not refused");
    return "";
  }
  void check_unchanged(const std::function<void()>& call) {
    const auto before = store.find_volume("v")->revision;
    call();
    CHECK(store.find_volume("v")->revision == before);
  }
};

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("copies: a second one is recorded, told of and taken back") {
  CopiesCase test;
  CHECK(test.pending().empty());
  test.set(2);
  CHECK(test.stored().copies_asked == 2);
  CHECK(test.pending() == "a second replica is made");
  CHECK(test.pending("n3") == "a second replica is made once the volume is released on n3");
  test.check_unchanged([&] { test.set(2); });
  test.set(1);
  CHECK(test.stored().copies_asked == 0);
  test.check_unchanged([&] { test.set(1, "n3"); });
}

TEST_CASE("copies: a second one needs a node") {
  CopiesCase test;
  test.volume.size_bytes = 20 * kGi;
  test.put_volume();
  const std::string said = test.refusal(ErrorCode::OutOfSpace, [&] { test.set(2); });
  CHECK_MESSAGE(mentions(said, "n1: it is cordoned"), said);
  CHECK_MESSAGE(mentions(said, "n3: it already has a replica"), said);
  CHECK_MESSAGE(mentions(said, "n4, n5: its pool p has only 9Gi free"), said);
  CHECK(mentions(test.refusal(ErrorCode::InvalidArgument, [&] { test.set(3); }), "use 1 or 2"));
}

TEST_CASE("copies: of two, the one goes that is not used, or has not all data") {
  CopiesCase test;
  test.mirror();
  SUBCASE("the first of two that are alike stays") {
    test.set(1);
    CHECK(test.stored().leaving == "n4");
    CHECK(test.stored().copies_asked == 1);
    CHECK(test.pending("n4") ==
          "the replica on n4 goes once the volume is released on n4, when the "
          "other one is whole");
    test.check_unchanged([&] { test.set(1); });
    test.set(1, "n4");
    CHECK(test.stored().leaving == "n3");
    test.set(2);
    CHECK(test.stored().leaving.empty());
    CHECK(test.stored().copies_asked == 0);
    CHECK(test.pending().empty());
  }
  SUBCASE("where it is attached it stays") {
    test.attach("n4");
    test.set(1);
    CHECK(test.stored().leaving == "n3");
  }
  SUBCASE("what lacks writes does not stay") {
    test.put_set({"n4"});
    CHECK(mentions(test.refusal(ErrorCode::Conflict, [&] { test.set(1, "n3"); }), "newest writes"));
    test.set(1);
    CHECK(test.stored().leaving == "n3");
  }
  SUBCASE("another node has none") {
    CHECK(mentions(test.refusal(ErrorCode::InvalidArgument, [&] { test.set(1, "n5"); }), "n3, n4"));
    CHECK(mentions(test.refusal(ErrorCode::InvalidArgument, [&] { test.set(2, "n3"); }), "none"));
  }
}

TEST_CASE("copies: the only one moves by a second one") {
  CopiesCase test;
  test.move("", "n5");
  CHECK(test.stored().leaving == "n3");
  CHECK(test.stored().arriving == "n5");
  CHECK(test.stored().copies_asked == 1);
  CHECK(test.pending() == "a second replica is made on n5, then the one on n3 goes");
  test.check_unchanged([&] { test.move("n3", "n5"); });
  CHECK(mentions(test.refusal(ErrorCode::Conflict, [&] { test.move("n3", "n4"); }), "--copies 1"));
  SUBCASE("on its way") {
    test.volume = test.stored();
    test.volume.arriving.clear();
    test.volume.minor = 1000;
    test.volume.add_replica({.node = "n5", .filled_by_peer = true});
    test.put_volume();
    test.check_unchanged([&] { test.move("n3", "n5"); });
    CHECK(test.pending() == "the replica on n3 goes, when the other one is whole");
  }
  SUBCASE("done") {
    test.volume.replicas = {{"n5", true, true}};
    test.put_volume();
    test.check_unchanged([&] { test.move("n3", "n5"); });
  }
  SUBCASE("stopped") {
    test.set(1);
    CHECK(test.pending().empty());
    CHECK(test.stored().leaving.empty());
    CHECK(test.stored().arriving.empty());
  }
}

TEST_CASE("copies: one of two moves while the other one has all data") {
  CopiesCase test;
  test.mirror();
  test.move("n4", "n5");
  CHECK(test.stored().leaving == "n4");
  CHECK(test.stored().arriving == "n5");
  CHECK(test.stored().copies_asked == 0);
  CHECK(test.pending("n4") == "the replica on n4 moves to n5 once the volume is released on n4");
  CHECK(test.pending("n3") == "the replica on n4 moves to n5");
  test.set(2);
  CHECK(test.pending().empty());
  CHECK(mentions(test.refusal(ErrorCode::InvalidArgument, [&] { test.move("", "n5"); }), "--from"));
  CHECK(mentions(test.refusal(ErrorCode::InvalidArgument, [&] { test.move("n4", "n3"); }),
                 "--keep n3"));
  CHECK(
      mentions(test.refusal(ErrorCode::InvalidArgument, [&] { test.move("n5", "n1"); }), "n3, n4"));
  CHECK(mentions(test.refusal(ErrorCode::OutOfSpace, [&] { test.move("n4", "n1"); }), "cordoned"));
  test.put_set({"n4"});
  CHECK(
      mentions(test.refusal(ErrorCode::Conflict, [&] { test.move("n4", "n5"); }), "newest writes"));
}

TEST_CASE("copies: a volume that is being deleted gets none") {
  CopiesCase test;
  test.volume.deleting = true;
  test.put_volume();
  CHECK(mentions(test.refusal(ErrorCode::Conflict, [&] { test.set(2); }), "deleted"));
  CHECK(mentions(test.refusal(ErrorCode::Conflict, [&] { test.move("n3", "n4"); }), "deleted"));
}

TEST_CASE("copies: what is left of a mirror is told") {
  CopiesCase test;
  test.volume.minor = 1000;
  test.volume.copies_asked = 1;
  test.volume.former = {"n4"};
  CHECK(describe_pending(test.volume, "") == "DRBD goes when n4 has removed its replica");
  test.volume.former.clear();
  CHECK(describe_pending(test.volume, "n3") == "DRBD goes once the volume is released on n3");
}

TEST_CASE("copies: what was asked for before stands in nobody's way") {
  CopiesCase test;
  test.mirror();
  SUBCASE("a node that a move was to go to, and that is away") {
    test.move("n4", "n5");
    test.set(2);
    CHECK(test.stored().arriving.empty());
  }
  SUBCASE("a single copy that moves, whose new one was lost") {
    test.volume.copies_asked = 1;
    test.volume.leaving = "n3";
    test.volume.replicas = {{"n3", true, false}};
    test.put_volume();
    test.put_set({"n3"});
    test.set(1);
    CHECK(test.stored().leaving.empty());
    CHECK(test.stored().mirror_is_to_go());
  }
  SUBCASE("two copies of which none is told to leave") {
    test.volume.copies_asked = 1;
    test.put_volume();
    test.set(1);
    CHECK(test.stored().leaving == "n4");
  }
}
