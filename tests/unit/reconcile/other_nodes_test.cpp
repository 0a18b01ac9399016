#include "agent/reconcile/other_nodes.h"

#include <doctest/doctest.h>

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)

namespace {

// n1 has everything; n2 is to be filled, and its agent is alive.
struct OtherNodesCase {
  model::Volume volume;
  std::optional<model::Current> current = model::Current{1, {"n1"}, {}, {}};
  NodeViews views;

  OtherNodesCase() {
    volume.minor = 1000;
    volume.replicas = {{"n1", true}, {"n2", false, true}};
    for (const char* node : {"n1", "n2"}) {
      views[node].session = "now";
      views[node].status.emplace();
      views[node].status->session = "now";
      views[node].status->disk_state = "UpToDate";
      views[node].status->connection = "Connected";
    }
  }
  void fail(ErrorCode code) {
    views["n2"].status->error = "no room";
    views["n2"].status->error_code = code;
  }
  bool unable() const { return is_unable(volume, "n2", views); }
  bool to_be_filled() const { return is_to_be_filled(volume, current, "n2", views); }
};

}  // namespace

TEST_CASE("other nodes: a new copy is to be filled until it is in the set") {
  OtherNodesCase seen;
  CHECK(seen.to_be_filled());
  seen.volume.replicas[1].made = true;
  CHECK(seen.to_be_filled());
  SUBCASE("it is in the set") {
    seen.current->nodes.insert("n2");
    CHECK_FALSE(seen.to_be_filled());
  }
  SUBCASE("its node is silent") {
    seen.views["n2"].session.reset();
    CHECK_FALSE(seen.to_be_filled());
  }
  SUBCASE("it has been there from the beginning") {
    seen.volume.replicas[1].filled_by_peer = false;
    CHECK_FALSE(seen.to_be_filled());
  }
}

TEST_CASE("other nodes: who cannot make its copy, and says why, is waited for by nobody") {
  OtherNodesCase seen;
  CHECK_FALSE(seen.unable());
  seen.fail(ErrorCode::OutOfSpace);
  CHECK(seen.unable());
  CHECK_FALSE(seen.to_be_filled());
  SUBCASE("also of a copy that was to be there from the beginning [D16]") {
    seen.volume.replicas[1].filled_by_peer = false;
    CHECK(seen.unable());
  }
  SUBCASE("what is only a matter of time does not count") {
    seen.fail(ErrorCode::Unavailable);
    CHECK_FALSE(seen.unable());
    CHECK(seen.to_be_filled());
  }
  SUBCASE("nor what an agent said that is gone") {
    seen.views["n2"].status->session = "before";
    CHECK_FALSE(seen.unable());
  }
  SUBCASE("nor what was said of the copy before, whose disk was lost [D14]") {
    seen.views["n2"].status->backing_gone = true;
    CHECK_FALSE(seen.unable());
  }
  SUBCASE("nor what fails once it is made") {
    seen.volume.replicas[1].made = true;
    CHECK_FALSE(seen.unable());
  }
}

TEST_CASE("other nodes: whole is what both say of themselves, now") {
  OtherNodesCase seen;
  CHECK(are_whole(seen.volume, seen.views));
  SUBCASE("not connected") {
    seen.views["n1"].status->connection = "Connecting";
    CHECK_FALSE(are_whole(seen.volume, seen.views));
    seen.volume.replicas.pop_back();
    CHECK(are_whole(seen.volume, seen.views));
  }
  SUBCASE("still behind") {
    seen.views["n2"].status->disk_state = "Inconsistent";
    CHECK_FALSE(are_whole(seen.volume, seen.views));
  }
  SUBCASE("from an agent that is gone") {
    seen.views["n2"].session.reset();
    CHECK_FALSE(are_whole(seen.volume, seen.views));
  }
  SUBCASE("without a mirror, when its device is there") {
    seen.volume.minor = 0;
    seen.volume.replicas.pop_back();
    CHECK_FALSE(are_whole(seen.volume, seen.views));
    seen.views["n1"].status->device_bytes = 1;
    CHECK(are_whole(seen.volume, seen.views));
    seen.views["n1"].status->backing_gone = true;
    CHECK_FALSE(are_whole(seen.volume, seen.views));
  }
  SUBCASE("alone, and not promoted since it was brought up") {
    seen.volume.replicas.pop_back();
    seen.views["n1"].status->disk_state = "Consistent";
    CHECK(are_whole(seen.volume, seen.views));
    seen.views["n1"].status->disk_state = "Inconsistent";
    CHECK_FALSE(are_whole(seen.volume, seen.views));
  }
  SUBCASE("there is none") {
    seen.volume.replicas.clear();
    CHECK_FALSE(are_whole(seen.volume, seen.views));
  }
}
