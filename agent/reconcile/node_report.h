// What this node can do, kept true in the store: nodes/<node>, and that it lives: alive/<node>.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/drbd/drbd.h"
#include "agent/reconcile/pools.h"
#include "agent/store/typed_store.h"

namespace plexvol::reconcile {

struct NodeReportSettings {
  std::string here;
  std::string session;
  std::chrono::seconds lease{15};
  std::function<std::string()> address;  // asked at each look, and more often while it is ""
  std::string version;
  std::function<std::string()> mirror_error;  // asked at each look
  std::vector<PoolSettings> pools;
  std::chrono::seconds interval{30};  // of looking; written only when something changed
};

// A thread of its own: the store may be away when the agent starts, and measuring a pool may hang
// with the tool that does it, and nothing else should.
class NodeReport {
 public:
  NodeReport(store::TypedStore& store, const std::map<std::string, std::unique_ptr<Pool>>& pools,
             drbd::Drbd& drbd, NodeReportSettings settings);
  ~NodeReport();
  void look_again();  // after a volume was made or removed

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace plexvol::reconcile
