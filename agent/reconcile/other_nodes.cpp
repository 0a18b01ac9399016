#include "agent/reconcile/other_nodes.h"

#include <algorithm>

namespace plexvol::reconcile {

namespace {

// Of the agent that runs there now.
const model::Status* find_status(const std::string& node, const NodeViews& views) {
  const auto view = views.find(node);
  if (view == views.end()) return nullptr;
  const auto& [found, session, status] = view->second;
  return session && status && status->session == *session ? &*status : nullptr;
}

}  // namespace

bool is_unmade(const model::Volume& volume, const std::string& node) {
  const model::Replica* replica = volume.find_replica(node);
  return replica != nullptr && !replica->made;
}

bool are_whole(const model::Volume& volume, const NodeViews& views) {
  const auto is_whole = [&](const model::Replica& replica) {
    const model::Status* status = find_status(replica.node, views);
    if (status == nullptr) return false;
    if (volume.wanted_copies() == 1 || replica.gains_metadata) {
      return status->device_bytes > 0 && !status->backing_gone;
    }
    // Without its peer it is no more than Consistent until it is promoted.
    const bool is_alone = volume.replicas.size() == 1;
    const std::string& disk = status->disk_state;
    return disk == "UpToDate" ? is_alone || status->connection == "Connected"
                              : is_alone && disk == "Consistent";
  };
  return !volume.replicas.empty() &&
         std::all_of(volume.replicas.begin(), volume.replicas.end(), is_whole);
}

bool is_unable(const model::Volume& volume, const std::string& node, const NodeViews& views) {
  const model::Status* status = find_status(node, views);
  return is_unmade(volume, node) && status != nullptr && !status->error.empty() &&
         !status->backing_gone &&  // that was said of the copy before
         status->error_code != ErrorCode::Unavailable;
}

bool lacks_backing(const model::Volume& volume, const std::string& node, const NodeViews& views) {
  const model::Replica* replica = volume.find_replica(node);
  const model::Status* status = find_status(node, views);
  return replica != nullptr && replica->made && status != nullptr && status->backing_gone;
}

bool is_to_be_filled(const model::Volume& volume, const std::optional<model::Current>& current,
                     const std::string& node, const NodeViews& views) {
  const model::Replica* replica = volume.find_replica(node);
  const auto view = views.find(node);
  return replica != nullptr && replica->filled_by_peer && view != views.end() &&
         view->second.session && current && !current->nodes.contains(node) &&
         !is_unable(volume, node, views);
}

}  // namespace plexvol::reconcile
