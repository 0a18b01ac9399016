#include "agent/controller/cluster_view.h"

#include <doctest/doctest.h>

#include <memory>
#include <stop_token>
#include <thread>

#include "agent/api/error.h"
#include "agent/controller/paths.h"
#include "agent/view/names.h"
#include "tests/support/copies.h"
#include "tests/unit/controller/object_server.h"

using namespace plexvol;
using controller::ClusterView;
using nlohmann::json;
using support::good_volume;

namespace {

const std::string kVolume = std::string(view::kVolumesPath) + "/data";
const std::string kNode = std::string(view::kNodesPath) + "/n1";

// What the controller has, and an agent that does what it is told.
class Scene {
 public:
  Scene() {
    api::NodeInfo node;
    node.name = "n1";
    node.alive = true;
    nodes = {node};
    known.replace({}, base::Clock::now());
  }

  void sync() {
    support::await_synced([this] {
      return support::is_synced(volume_objects, server, view::kVolumesPath) &&
             support::is_synced(node_objects, server, view::kNodesPath);
    });
  }
  // Until all that was written has come back by the caches.
  bool look() {
    sync();
    const bool is_complete = view.look();
    sync();
    return is_complete;
  }
  void ask(const std::string& placement) {
    server.patch(kNode, {{"spec", {{"placement", placement}}}});
  }
  void ask_of_volume(const json& spec) { server.patch(kVolume, {{"spec", spec}}); }
  json volume_status() { return server.find(kVolume)["status"]; }
  std::string spec() { return server.find(kNode)["spec"]["placement"]; }
  json status() { return server.find(kNode)["status"]; }
  json request_done() { return request_done(status()); }
  static json request_done(const json& shown) {
    for (const json& condition : shown["conditions"]) {
      if (condition["type"] == "RequestDone") return condition;
    }
    return {};
  }
  void show(const std::vector<api::VolumeInfo>& all) { known.replace(all, base::Clock::now()); }

  support::ObjectServer server;
  std::vector<api::NodeInfo> nodes;
  std::vector<std::string> actions;  // that the agent was asked for
  std::function<void(const std::string&)> refuse = [](const std::string&) {};
  int old_lists = 0;  // the next lists of nodes, this many, lack the last action
  controller::KnownVolumes known{[] {}};
  kube::Client client{support::settings_for(server)};
  kube::Cache<kube::PersistentVolume> volumes{client, controller::paths::kVolumes, {}};
  ClusterView::Objects volume_objects{client, view::kVolumesPath, {}};
  ClusterView::Objects node_objects{client, view::kNodesPath, {}};
  ClusterView view{
      {.client = client,
       .list_nodes = [this] { return list(); },
       .change_node = [this](const std::string&, const std::string& action) { change(action); },
       .set_copies =
           [this](const std::string& volume, unsigned copies) {
             refuse("copies");
             actions.push_back(volume + " copies " + std::to_string(copies));
           },
       .ask_size =
           [this](const std::string& volume, const std::string& size) {
             refuse("size");
             actions.push_back(volume + " size " + size);
           },
       .known = known,
       .volumes = volumes,
       .volume_objects = volume_objects,
       .node_objects = node_objects}};

 private:
  std::vector<api::NodeInfo> list() {
    if (old_lists > 0 && --old_lists >= 0 && !actions.empty()) return before_;
    return nodes;
  }
  void change(const std::string& action) {
    refuse(action);
    before_ = nodes;
    actions.push_back(action);
    nodes[0].cordon = action == "uncordon" ? "" : action == "drain" ? "draining" : "cordoned";
  }

  std::vector<api::NodeInfo> before_;
};

}  // namespace

TEST_CASE("a volume is shown, and what has not changed is not written again") {
  Scene scene;
  scene.show({good_volume("data", {"n1"})});
  CHECK(scene.look());
  CHECK(scene.server.find(kVolume)["status"]["state"] == "Ready");
  CHECK(scene.server.find(kVolume)["kind"] == "PlexvolVolume");
  CHECK_FALSE(scene.server.take_writes().empty());
  CHECK(scene.look());
  CHECK(scene.server.take_writes().empty());

  api::VolumeInfo changed = good_volume("data", {"n1"});
  changed.attached_to = "n1";
  scene.show({changed});
  CHECK(scene.look());
  CHECK(scene.server.take_writes() == std::vector<std::string>{"PATCH " + kVolume + "/status"});
  CHECK(scene.server.find(kVolume)["status"]["usedBy"] == "on n1");

  scene.show({good_volume("data", {"n1"})});
  CHECK(scene.look());
  CHECK_FALSE(scene.server.find(kVolume)["status"].contains("usedBy"));
}

TEST_CASE("a volume is asked for what its spec says, once") {
  Scene scene;
  scene.show({good_volume("data", {"n1"})});
  CHECK(scene.look());
  scene.ask_of_volume({{"copies", 2}});
  CHECK(scene.look());
  CHECK(scene.actions == std::vector<std::string>{"data copies 2"});
  CHECK(scene.volume_status()["copiesAsked"] == 2);
  CHECK(Scene::request_done(scene.volume_status())["status"] == "True");
  // By the command line it is asked for something else since: the spec takes nothing back.
  CHECK(scene.look());
  scene.ask_of_volume({{"size", "20Gi"}});
  CHECK(scene.look());
  CHECK(scene.look());
  CHECK(scene.actions == std::vector<std::string>{"data copies 2", "data size 20Gi"});
  CHECK(scene.volume_status()["sizeAsked"] == "20Gi");
  CHECK(scene.volume_status()["copiesAsked"] == 2);
}

TEST_CASE("what a volume cannot have is told in its status, and what failed is asked for again") {
  Scene scene;
  scene.show({good_volume("data", {"n1"})});
  CHECK(scene.look());
  scene.refuse = [](const std::string&) { throw Error(ErrorCode::Unavailable, "no store"); };
  scene.ask_of_volume({{"copies", 2}, {"size", "1Mi"}});
  CHECK_FALSE(scene.look());
  CHECK_FALSE(scene.volume_status().contains("copiesAsked"));
  scene.refuse = [](const std::string& what) {
    if (what == "size") throw Error(ErrorCode::InvalidArgument, "cannot be made smaller");
  };
  CHECK(scene.look());
  const json done = Scene::request_done(scene.volume_status());
  CHECK(done["status"] == "False");
  CHECK(done["message"] == "cannot be made smaller");
  scene.actions.clear();
  CHECK(scene.look());
  CHECK(scene.actions.empty());
  CHECK(Scene::request_done(scene.volume_status()) == done);
}

TEST_CASE("what a cache has not heard of yet is not written twice") {
  Scene scene;
  scene.show({good_volume("data", {"n1"})});
  CHECK(scene.view.look());  // the caches may have listed by now, or not
  CHECK(scene.look());
  scene.server.take_writes();
  api::VolumeInfo changed = good_volume("data", {"n1"});
  changed.attached_to = "n1";
  scene.show({changed});
  CHECK(scene.view.look());
  CHECK(scene.view.look());
  CHECK(scene.server.take_writes() == std::vector<std::string>{"PATCH " + kVolume + "/status"});
}

TEST_CASE(
    "objects of what does not exist are removed, and those that somebody removed come again") {
  Scene scene;
  scene.server.create(std::string(view::kVolumesPath) + "/other", {{"kind", "PlexvolVolume"}});
  scene.show({good_volume("data", {"n1"})});
  CHECK(scene.look());
  CHECK(scene.server.find(std::string(view::kVolumesPath) + "/other").is_null());
  scene.client.remove(kVolume);
  CHECK(scene.look());
  CHECK(scene.server.find(kVolume)["status"]["state"] == "Ready");
  scene.show({});
  CHECK(scene.look());
  CHECK(scene.server.find(kVolume).is_null());
}

TEST_CASE("a node is made what its spec asks for, once") {
  Scene scene;
  CHECK(scene.look());
  CHECK(scene.spec() == "normal");
  scene.ask("draining");
  CHECK(scene.look());
  CHECK(scene.actions == std::vector<std::string>{"drain"});
  CHECK(scene.status()["placement"] == "draining");
  CHECK(scene.status()["placementAsked"] == "draining");
  CHECK(scene.request_done()["status"] == "True");
  CHECK(scene.look());
  scene.ask("cordoned");
  CHECK(scene.look());
  CHECK(scene.actions == std::vector<std::string>{"drain", "uncordon", "cordon"});
}

TEST_CASE("the spec follows the command line, which is never taken back") {
  Scene scene;
  scene.nodes[0].cordon = "cordoned";
  CHECK(scene.look());
  CHECK(scene.spec() == "cordoned");
  scene.nodes[0].cordon = "";
  CHECK(scene.look());
  CHECK(scene.look());
  CHECK(scene.spec() == "normal");
  CHECK(scene.status()["placementAsked"] == "normal");
  CHECK(scene.actions.empty());
}

TEST_CASE("a request that is refused says why, and its spec goes back") {
  Scene scene;
  CHECK(scene.look());
  scene.refuse = [](const std::string&) { throw Error(ErrorCode::Conflict, "not now"); };
  scene.ask("draining");
  CHECK(scene.look());
  CHECK(scene.request_done()["status"] == "False");
  CHECK(scene.request_done()["message"] == "not now");
  CHECK(scene.look());
  CHECK(scene.spec() == "normal");
  CHECK(scene.request_done()["status"] == "False");
  scene.refuse = [](const std::string&) {};
  CHECK(scene.look());
  CHECK(scene.actions.empty());
}

TEST_CASE("a request that could not be made is made again") {
  Scene scene;
  CHECK(scene.look());
  scene.refuse = [](const std::string&) { throw Error(ErrorCode::Unavailable, "no store"); };
  scene.ask("cordoned");
  CHECK_FALSE(scene.look());
  CHECK(scene.spec() == "cordoned");
  CHECK(scene.status()["placementAsked"] == "normal");
  scene.refuse = [](const std::string&) {};
  CHECK(scene.look());
  CHECK(scene.actions == std::vector<std::string>{"cordon"});
}

TEST_CASE("a list that does not show a request yet does not take it back") {
  Scene scene;
  CHECK(scene.look());
  scene.ask("cordoned");
  scene.old_lists = 3;
  CHECK(scene.look());
  CHECK(scene.look());
  CHECK(scene.spec() == "cordoned");
  CHECK(scene.actions == std::vector<std::string>{"cordon"});
}

TEST_CASE("a controller that dies between spec and status does no harm") {
  Scene scene;
  CHECK(scene.look());
  scene.nodes[0].cordon = "draining";
  scene.ask("draining");  // what the one before has written; its status is missing
  CHECK(scene.look());
  CHECK(scene.actions.empty());
  CHECK(scene.status()["placementAsked"] == "draining");
}

TEST_CASE("a request that a late cache still shows is not made again") {
  Scene scene;
  CHECK(scene.look());
  scene.ask("draining");
  scene.sync();
  scene.server.hold_watches();
  // Another controller has drained the node, and somebody has ended that.
  scene.server.patch(
      kNode, {{"spec", {{"placement", "normal"}}}, {"status", {{"placementAsked", "normal"}}}});
  CHECK(scene.view.look());
  CHECK(scene.actions.empty());
}
