// What was read of the store for many volumes at once, before any of them is looked at.
#include <doctest/doctest.h>

#include "agent/model/codec.h"
#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/unit/reconcile/plan_cases.h"
#include "tests/unit/reconcile/reconciler_node.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)
using store::Change;
namespace keys = store::keys;

namespace {

// A node with one volume in a directory, which is there and at rest.
struct ReadingNode : ReconcilerNode<process::BoostRunner> {
  model::Volume volume = cases::single().volume;

  ReadingNode() {
    std::filesystem::create_directory(directory.path() / "pool");
    pools["p"] = make_pool({.name = "p",
                            .type = "file",
                            .volume_group = {},
                            .thin_pool = {},
                            .directory = directory.path() / "pool"},
                           runner);
    volume.size_bytes = 16U << 20U;
    volume.replicas[0].made = false;
    put();
    CHECK(reconciler.reconcile("v") == Outcome::Settled);
    CHECK(has_image());
    volume = store.find_volume("v")->value;
  }
  ReadingNode(const ReadingNode&) = delete;
  ReadingNode& operator=(const ReadingNode&) = delete;
  ~ReadingNode() {
    volume.deleting = true;
    put();
    reconciler.reconcile("v");
    CHECK_FALSE(has_image());
  }

  void put() { store.commit(Change().put(keys::volume("v"), model::to_json(volume)).wake(volume)); }
  bool has_image() const { return exists(directory.path() / "pool" / "v.img"); }

  int count_requests(const store::VolumeView& ahead) {
    raw.requests = 0;
    CHECK(reconciler.reconcile("v", &ahead) == Outcome::Settled);
    return raw.requests;
  }
};

}  // namespace

TEST_CASE("read ahead: a volume at rest is not asked for again") {
  if (!support::can_use_loop_devices()) return;
  ReadingNode node;
  CHECK(node.count_requests(node.store.view_volume("v", "n1")) == 0);
}

TEST_CASE("read ahead: what a newer version wrote into a status stays, and is no news [D6]") {
  if (!support::can_use_loop_devices()) return;
  ReadingNode node;
  const std::string key = keys::status("n1", "v");
  auto status = *node.store.find_status("n1", "v");
  status.unknown.members = R"({"later":7})";
  node.store.commit(Change().put(key, model::to_json(status)));
  CHECK(node.count_requests(node.store.view_volume("v", "n1")) == 0);
  // Nor when it is written again, by a pass of its own.
  status.error = "no more";
  node.store.commit(Change().put(key, model::to_json(status)));
  node.count_requests(node.store.view_volume("v", "n1"));
  CHECK(node.store.find_status("n1", "v")->error.empty());
  CHECK(node.store.find_status("n1", "v")->unknown == status.unknown);
}

TEST_CASE("read ahead: nothing is done because of it") {
  if (!support::can_use_loop_devices()) return;
  ReadingNode node;
  node.volume.deleting = true;
  node.put();
  const store::VolumeView deleting = node.store.view_volume("v", "n1");
  node.volume.deleting = false;
  node.put();
  CHECK(node.count_requests(deleting) > 0);
  CHECK(node.has_image());
}

TEST_CASE("read ahead: a status that is not what is seen is written") {
  if (!support::can_use_loop_devices()) return;
  ReadingNode node;
  store::VolumeView view = node.store.view_volume("v", "n1");
  SUBCASE("there is none") {
    node.store.commit(Change().remove(keys::status("n1", "v")));
    view.status.reset();
  }
  SUBCASE("another one") {
    view.status->error = "no more";
    node.store.commit(Change().put(keys::status("n1", "v"), model::to_json(*view.status)));
  }
  node.count_requests(view);
  const auto status = node.store.find_status("n1", "v");
  REQUIRE(status);
  CHECK(status->session == "session");
  CHECK(status->error.empty());
}

TEST_CASE("read ahead: a status is written also by a pass that has woken itself") {
  support::TemporaryDirectory directory;
  store::FileStore raw(directory.path() / "store");
  store::TypedStore store(raw);
  const model::Volume volume = cases::single().volume;
  model::Volume another = volume;
  another.id = "another";
  store.commit(Change().wake(volume));
  const std::int64_t before = store.view_volume("v", "n1").assigned;
  SUBCASE("woken") {
    store.commit(Change().wake(volume));
    store.put_status("n1", volume, before, {});
    CHECK(store.find_status("n1", "v"));
  }
  SUBCASE("deleted") {
    store.commit(Change().remove(keys::assigned("n1", "v")));
    store.put_status("n1", volume, before, {});
    CHECK_FALSE(store.find_status("n1", "v"));
  }
  SUBCASE("another of that name") {
    store.commit(Change().wake(another));
    store.put_status("n1", volume, before, {});
    CHECK_FALSE(store.find_status("n1", "v"));
  }
}

TEST_CASE("read ahead: many volumes in two requests, without those that nobody can read") {
  support::TemporaryDirectory directory;
  store::FileStore file_store(directory.path() / "store");
  support::CountingStore raw(file_store);
  store::TypedStore store(raw);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < store::TypedStore::kMaxViews; ++i) {
    Wanted wanted = cases::mirrored();
    wanted.volume.name = "v" + std::to_string(i);
    wanted.volume.replicas[1].node = "peer" + std::to_string(i);
    names.push_back(wanted.volume.name);
    store.commit(Change()
                     .put(keys::volume(wanted.volume.name), model::to_json(wanted.volume))
                     .put(keys::alive(wanted.volume.replicas[1].node), "s" + std::to_string(i))
                     .wake(wanted.volume));
  }
  store.commit(Change().put(keys::volume("v3"), "{"));
  raw.requests = 0;
  const auto views = store.view_volumes(names, "n1");
  CHECK(raw.requests == 2);
  CHECK(views.size() == names.size() - 1);
  CHECK_FALSE(views.contains("v3"));
  for (const auto& entry : views) {
    const std::string& name = entry.first;
    const store::VolumeView& view = entry.second;
    CAPTURE(name);
    CHECK(view.assigned > 0);
    CHECK(view.nodes.at("peer" + name.substr(1)).session == "s" + name.substr(1));
    const store::VolumeView alone = store.view_volume(name, "n1");
    CHECK(alone.volume->revision == view.volume->revision);
    CHECK(alone.assigned == view.assigned);
    CHECK(alone.nodes.size() == view.nodes.size());
  }
}
