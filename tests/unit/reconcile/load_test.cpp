#include "agent/reconcile/load.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/reconcile/part_of_pass.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)
using store::Change;
namespace keys = store::keys;

namespace {

Loaded load(PartOfPass& node) {
  const auto loaded = Loader(node.shared, node.name).load(std::nullopt);
  REQUIRE(loaded);
  return *loaded;
}

drbd::ResourceState syncing() {
  drbd::ResourceState resource;
  resource.replication = "SyncSource";
  return resource;
}

void attach_here(PartOfPass& node, const std::string& silent_session) {
  model::Attachment attachment = *cases::attached(cases::mirrored()).attachment;
  attachment.silent_session = silent_session;
  node.store.commit(Change().put(keys::attachment("v"), model::to_json(attachment)));
}

}  // namespace

TEST_CASE("load: a volume of other nodes is none of this one's, and its turn is given up") {
  PartOfPass node;
  node.shared.resync_turns.note("v", syncing());
  node.shared.settings.resyncs_changed = [&] { ++node.resyncs_changed; };
  model::Volume volume = node.volume();
  volume.replicas = {{"n2", true}, {"n3", true}};
  node.put(volume);
  CHECK_FALSE(Loader(node.shared, node.name).load(std::nullopt));
  CHECK(node.resyncs_changed == 1);
  node.store.commit(Change().remove(keys::volume("v")));
  CHECK_FALSE(Loader(node.shared, node.name).load(std::nullopt));
}

TEST_CASE("load: what a pass has seen and made is never taken for another volume's") {
  PartOfPass node;
  Loader loader(node.shared, node.name);
  const auto before = loader.load(std::nullopt);
  CHECK(loader.load(before));
  model::Volume other = node.volume();
  other.id = "6f1c1c1e-0000-4000-8000-000000000002";
  node.put(other);
  CHECK_THROWS_WITH_AS(loader.load(before), "volume v was replaced by a new one", Error);
}

TEST_CASE("load: a forgotten node that still has its copy tells all that it is back") {
  PartOfPass node;
  model::Volume volume = node.volume();
  volume.replicas = {{"n2", true}, {"n3", true}};
  node.put(volume);
  std::filesystem::create_directories(node.directory.path() / "drbd");
  std::ofstream config(node.directory.path() / "drbd/v.res");
  SUBCASE("of this very volume") {
    config << "resource \"v\" {\n  net {\n    shared-secret \"secret\";\n  }\n}\n" << std::flush;
    CHECK(load(node).wanted.volume.former.contains("n1"));
    CHECK(node.volume().former.contains("n1"));
  }
  SUBCASE("but not of another one of its name") {
    config << "resource \"v\" {\n  net {\n    shared-secret \"other\";\n  }\n}\n" << std::flush;
    CHECK_FALSE(Loader(node.shared, node.name).load(std::nullopt));
    CHECK(node.volume().former.empty());
  }
}

TEST_CASE("load: the peer lives when its agent does, and has spoken since it was silent") {
  PartOfPass node;
  attach_here(node, "");
  CHECK_FALSE(load(node).wanted.peer_alive);
  node.store.commit(Change().put(keys::alive("n2"), "one"));
  CHECK(load(node).wanted.peer_alive);
  // The volume was taken from that life of its agent, which did not answer.
  attach_here(node, "one");
  CHECK_FALSE(load(node).wanted.peer_alive);
  model::Status status;
  status.session = "one";
  status.attachment_revision = node.store.find_attachment("v")->revision - 1;
  node.store.commit(Change().put(keys::status("n2", "v"), model::to_json(status)));
  CHECK_FALSE(load(node).wanted.peer_alive);
  status.attachment_revision = node.store.find_attachment("v")->revision;
  node.store.commit(Change().put(keys::status("n2", "v"), model::to_json(status)));
  CHECK(load(node).wanted.peer_alive);
  attach_here(node, "one");
  node.store.commit(Change().put(keys::alive("n2"), "another"));
  CHECK(load(node).wanted.peer_alive);
}

TEST_CASE("load: a store that is older than what was acted on is told of once, with the volume") {
  PartOfPass node;
  CHECK(load(node).wanted.contradiction.empty());
  model::Current later = *cases::mirrored().current;
  later.epoch = 5;
  later.nodes = {"n1"};
  node.acted.record(node.volume(), later);
  CHECK_FALSE(load(node).wanted.contradiction.empty());
  CHECK(node.contradictions == 1);
}

TEST_CASE("load: what is to become of the other copy is in the volume") {
  PartOfPass node;
  model::Volume volume = node.volume();
  const auto fate = [&] {
    node.put(volume);
    return load(node).wanted.peer_fate;
  };
  volume.leaving = "n2";
  CHECK(fate() == PeerFate::Moved);
  volume.copies_asked = 1;
  CHECK(fate() == PeerFate::Unwanted);
  volume.leaving = "n1";
  CHECK(fate() == PeerFate::Stays);
  SUBCASE("it went on purpose") {
    volume.leaving.clear();
    volume.replicas = {{"n1", true}};
    CHECK(fate() == PeerFate::Stays);
  }
  SUBCASE("it was lost before this one could go") {
    volume.replicas = {{"n1", true}};
    CHECK(fate() == PeerFate::Lost);
  }
}

TEST_CASE("load: a node that was woken for a volume that it has left says that it has none of it") {
  PartOfPass node;
  model::Volume volume = node.volume();
  volume.replicas = {{"n2", true}};
  node.put(volume);
  const std::string key = keys::assigned("n1", "v");
  node.store.commit(Change().put(key, volume.id));
  CHECK_FALSE(Loader(node.shared, node.name).load(std::nullopt));
  CHECK_FALSE(node.store.raw().get(key));
  SUBCASE("also of one that is gone") {
    node.store.commit(Change().remove(keys::volume("v")).put(key, volume.id));
    CHECK_FALSE(Loader(node.shared, node.name).load(std::nullopt));
    CHECK_FALSE(node.store.raw().get(key));
  }
  SUBCASE("not of one whose record it cannot read") {
    node.store.commit(Change().put(keys::volume("v"), "no record").put(key, volume.id));
    CHECK_THROWS_AS(Loader(node.shared, node.name).load(std::nullopt), Error);
    CHECK(node.store.raw().get(key));
  }
}
