// Keeps the nodes' labels what they are to be (copy_labels.h).
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "agent/base/deadline.h"
#include "agent/controller/bell.h"
#include "agent/controller/copy_labels.h"
#include "agent/controller/known_volumes.h"
#include "agent/kube/cache.h"
#include "agent/kube/client.h"

namespace plexvol::controller {

// A thread of its own looks whenever the bell rings. A node object travels whole
// whenever one of its labels changes, so each gets one patch per second at most, with all that has
// to change.
class NodeLabels {
 public:
  struct Parts {
    kube::Client& client;
    const kube::Cache<kube::Node>& nodes;
    const KnownVolumes& volumes;
    Bell& bell;  // rung when a volume or a node has changed
    // Called from this object's thread when all labels of a volume are there that somebody has
    // waited for.
    std::function<void(const std::string& volume)> on_labelled;
  };
  explicit NodeLabels(Parts parts);
  ~NodeLabels();
  NodeLabels(const NodeLabels&) = delete;
  NodeLabels& operator=(const NodeLabels&) = delete;

  // The API server has said that all nodes with a copy of this volume have its label. Otherwise
  // on_labelled comes later.
  bool is_labelled(const api::VolumeInfo& volume);

 private:
  void run(const std::stop_token& stop);
  // Until when it cannot patch all that has changed.
  base::Clock::time_point patch_nodes();
  void tell_labelled();
  std::map<std::string, kube::Words> labels_by_node() const;
  bool has_labels(const api::VolumeInfo& volume) const;

  const Parts parts_;
  std::mutex mutex_;
  std::set<std::string> awaited_;                              // volumes
  std::map<std::string, base::Clock::time_point> patched_at_;  // only the thread's
  std::jthread thread_;
};

}  // namespace plexvol::controller
