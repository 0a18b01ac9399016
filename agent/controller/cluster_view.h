// Keeps what kubectl shows of volumes and nodes (agent/view) what the agent tells of them, and asks for
// what people have written into the spec of one.
//
// Where the custom resources are not defined, it does nothing until they are.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/controller/known_volumes.h"
#include "agent/kube/cache.h"
#include "agent/kube/client.h"
#include "agent/kube/custom_object.h"
#include "agent/view/node_status.h"
#include "agent/view/volume_status.h"
#include "agent/view/volume_wish.h"

namespace plexvol::controller {

class ClusterView {
 public:
  using Objects = kube::Cache<kube::CustomObject>;
  struct Parts {
    kube::Client& client;
    // As NodeAgent has them.
    std::function<std::vector<api::NodeInfo>()> list_nodes;
    std::function<void(const std::string& node, const std::string& action)> change_node;
    std::function<void(const std::string& volume, unsigned copies)> set_copies;
    std::function<void(const std::string& volume, const std::string& size)> ask_size;
    const KnownVolumes& known;
    const kube::Cache<kube::PersistentVolume>& volumes;
    const Objects& volume_objects;
    const Objects& node_objects;
    // From 1.11 on a status is written by a path of its own, and comes with no spec.
    bool server_has_status_path = true;
  };
  explicit ClusterView(Parts parts) : parts_(std::move(parts)) {}

  // By one thread, whenever a volume, a node, a PV or one of the objects may have changed. False:
  // something could not be done; to be looked at again soon.
  bool look();

 private:
  // What was written last, until the cache has heard of it.
  struct Written {
    std::string over;  // the resourceVersion that it was written over
    std::string status;
  };
  using Object = Objects::Object;

  void look_at_volumes();
  void look_at_nodes();
  void look_at_volume(const api::VolumeInfo& volume, const view::VolumeOwner& owner);
  std::string answer_wish(const api::VolumeInfo& volume, const view::VolumeWish& wish,
                          const std::string& status, const std::string& before);
  void look_at_node(const view::NodeFacts& facts);
  bool is_latest(const std::string& path, const Object& object);
  void change_node(api::NodeInfo& node, const std::string& placement);
  Object set_placement(const std::string& path, const Object& object, const std::string& placement);
  void remove_others(const Objects& objects, const std::string& path,
                     const std::set<std::string>& wanted);
  std::string status_of(const std::string& path, const Object& object);
  // `before`: as status_of() said.
  void write_status(const std::string& path, const Object& object, const std::string& before,
                    const std::string& status);
  // Does it, and remembers whether it failed: the others are looked at nevertheless.
  template <class Call>
  void attempt(const std::string& what, const Call& call);

  const Parts parts_;
  std::map<std::string, Written> written_;  // by path
  bool is_complete_ = true;
};

}  // namespace plexvol::controller
