// Pods of a dead node start elsewhere.
//
// Kubernetes leaves them alone for minutes, since it cannot know whether they still run. Where the
// node's agent has lost its lease and the other copy its connection, they stand still in any case, and
// taking the node's copy out of the volume's set makes sure of it (agent/arbiter/README.md). So: first
// that, then the node's label goes, by which the scheduler would choose it again, then Kubernetes' word
// that the volume is in use there (in_use.h), and only then the pods are deleted. What was done is not
// remembered: the next leader goes on from what it sees.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/base/deadline.h"
#include "agent/controller/dead_nodes.h"
#include "agent/controller/known_volumes.h"
#include "agent/controller/node_agent.h"
#include "agent/controller/pod_choice.h"
#include "agent/kube/cache.h"
#include "agent/kube/client.h"
#include "agent/kube/events.h"

namespace plexvol::controller {

class Failover {
 public:
  struct Parts {
    kube::Client& client;
    kube::Events& events;
    const NodeAgent& agent;
    KnownVolumes& known;
    const kube::Cache<kube::Claim>& claims;
    const kube::Cache<kube::PersistentVolume>& volumes;
    const kube::Cache<kube::Node>& nodes;
  };
  explicit Failover(Parts parts) : parts_(parts) {}

  // By one thread, whenever a volume has changed. False: something could not be done; to be looked at
  // again soon.
  bool look();
  // Some node is dead: to be looked at again after kAgain, since users annotate pods.
  bool has_dead_nodes() const { return !seen_to_.empty(); }
  static constexpr std::chrono::seconds kAgain{30};

 private:
  struct SeenTo {
    std::set<std::string> moved;
    base::Clock::time_point at;
  };

  bool look_at_nodes();
  bool is_seen_to(const std::string& node, const std::set<std::string>& moved) const;
  void take_from(const std::string& node, const std::set<std::string>& volumes);
  std::set<std::string> confirm_moved(const std::string& node, const DeadNode& listed,
                                      const std::vector<api::NodeInfo>& nodes);
  void remove_labels(const std::string& node, const std::set<std::string>& volumes);
  void move_pods(const std::string& node, const std::set<std::string>& moved);
  void let_detach(const std::string& node, const std::set<std::string>& moved,
                  const std::vector<kube::Pod>& pods);
  void delete_pod(const kube::Pod& pod, const PodChoice& choice);
  std::optional<std::string> find_volume(const std::string& ns, const std::string& claim) const;

  const Parts parts_;
  std::map<std::string, SeenTo> seen_to_;  // by node
  LongDead long_dead_;
  bool is_trouble_told_ = false;
};

}  // namespace plexvol::controller
