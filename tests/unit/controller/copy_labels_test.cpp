#include "agent/controller/copy_labels.h"

#include <doctest/doctest.h>

#include <string>

using namespace plexvol;
using controller::find_label_changes;
using controller::LabelChanges;
using controller::nodes_to_label;

namespace {

api::ReplicaInfo replica(const std::string& node) {
  api::ReplicaInfo made;
  made.node = node;
  made.current = true;
  return made;
}

api::VolumeInfo volume(const std::string& name, const std::vector<std::string>& nodes) {
  api::VolumeInfo made;
  made.name = name;
  made.state = "Ready";
  for (const std::string& node : nodes) made.replicas.push_back(replica(node));
  return made;
}

using Nodes = std::set<std::string>;

}  // namespace

TEST_CASE("the nodes with a copy that can be used have the label") {
  api::VolumeInfo data = volume("data", {"n1", "n2", "n3"});
  CHECK(nodes_to_label(data) == Nodes{"n1", "n2", "n3"});
  data.replicas[1].current = false;  // out of the current set: it is behind
  data.replicas[2].made = false;
  CHECK(nodes_to_label(data) == Nodes{"n1"});
}

TEST_CASE("a node keeps the label while it has the volume in use, whatever its copy is") {
  api::VolumeInfo data = volume("data", {"n1", "n2"});
  data.replicas[0].current = false;
  data.replicas[0].mounts = {"/var/lib/kubelet/pods/1/volumes/plexvol~plexvol/data"};
  CHECK(nodes_to_label(data) == Nodes{"n1", "n2"});
  data.replicas[0].mounts.clear();
  data.attached_to = "n1";
  CHECK(nodes_to_label(data) == Nodes{"n1", "n2"});
}

TEST_CASE("nodes get the labels that they lack, and lose those that are wrong") {
  const auto changes = find_label_changes(
      {{"data", volume("data", {"n1"})}, {"web", volume("web", {"n2"})}},
      {{"n1", {{"volume.plexvol.io/web", "copy"}, {"disk", "ssd"}}},
       {"n2", {{"volume.plexvol.io/web", "copy"}}},
       {"n3", {{"volume.plexvol.io/gone", "copy"}, {"volume.plexvol.io/data", "old"}}}});
  CHECK(
      changes ==
      std::map<std::string, LabelChanges>{
          {"n1", {{"volume.plexvol.io/data", "copy"}, {"volume.plexvol.io/web", std::nullopt}}},
          {"n3",
           {{"volume.plexvol.io/data", std::nullopt}, {"volume.plexvol.io/gone", std::nullopt}}}});
}

TEST_CASE("a label with another value is put right") {
  const auto changes = find_label_changes({{"data", volume("data", {"n1"})}},
                                          {{"n1", {{"volume.plexvol.io/data", "no"}}}});
  CHECK(changes.at("n1").at("volume.plexvol.io/data") == "copy");
}

TEST_CASE("labels of a volume that nobody can read stay as they are") {
  api::VolumeInfo broken = volume("data", {});
  broken.state = "Unreadable";
  CHECK(find_label_changes({{"data", broken}}, {{"n1", {{"volume.plexvol.io/data", "copy"}}}})
            .empty());
}

TEST_CASE("a volume that is being deleted has no labels") {
  api::VolumeInfo data = volume("data", {"n1"});
  data.deleting = true;
  CHECK(nodes_to_label(data).empty());
}

TEST_CASE("the patch of a node names each label, and null for what is to go") {
  CHECK(controller::to_patch({{"volume.plexvol.io/a", "copy"}, {"volume.plexvol.io/b", {}}}) ==
        R"({"metadata":{"labels":{"volume.plexvol.io/a":"copy","volume.plexvol.io/b":null}}})");
}
