// A person's word against the arbiter's.
#include <algorithm>
#include <ctime>

#include "agent/api/names.h"
#include "agent/model/codec.h"
#include "agent/service/service.h"

namespace plexvol::service {

namespace {

bool is_usable(const api::ReplicaInfo& replica) {
  return replica.alive && replica.current &&
         (replica.disk_state == "UpToDate" || replica.disk_state == "Consistent");
}

// A copy that was replaced and not yet removed has its place again, which the one that was to be
// filled instead gives up.
store::Change take_back(const std::string& node, const store::Versioned<model::Volume>& volume,
                        const model::Current& current) {
  model::Volume next = volume.value;
  next.former.erase(node);
  const auto unfilled =
      std::find_if(next.replicas.begin(), next.replicas.end(), [&](const model::Replica& replica) {
        return replica.filled_by_peer && !current.nodes.contains(replica.node);
      });
  if (unfilled != next.replicas.end()) {
    next.former.insert(unfilled->node);
    next.replicas.erase(unfilled);
  }
  if (next.replicas.size() >= next.wanted_copies()) {
    throw Error(ErrorCode::Conflict, "the copy of volume " + next.name + " on " + node +
                                         " was replaced by one that has been whole since then");
  }
  next.add_replica({.node = node, .made = true});
  store::Change change;
  const std::string key = store::keys::volume(next.name);
  change.require(key, volume.revision).put(key, model::to_json(next)).wake(next);
  return change;
}

}  // namespace

// Only where nothing else helps: while a copy of the set can be used, there is nothing to decide.
api::VolumeInfo Service::force_current(const api::ForceCurrentRequest& request) {
  check_node_name(request.node);
  const auto found = store_.find_volume(request.name);
  if (!found) get_volume(request.name);  // says so
  const model::Volume& volume = found->value;
  // Read before the look at the copies: what happens in between makes the write fail.
  const auto current = store_.find_current(request.name);
  const api::VolumeInfo known = show_volume(request.name);
  if (!volume.mirrored()) {
    throw Error(ErrorCode::Conflict, "volume " + request.name + " has only one copy");
  }
  const model::Replica* replica = volume.find_replica(request.node);
  const bool former = volume.former.contains(request.node);
  if (!former && (replica == nullptr || !replica->made)) {
    throw Error(ErrorCode::Conflict,
                "volume " + request.name + " has no copy on " + request.node + " to be used");
  }
  const auto usable = std::find_if(known.replicas.begin(), known.replicas.end(), is_usable);
  if (usable != known.replicas.end()) {
    throw Error(ErrorCode::Conflict, "nothing needs to be forced: the copy of volume " +
                                         request.name + " on " + usable->node +
                                         " is in the current set and can be used");
  }
  if (!request.accept_data_loss) {
    throw Error(ErrorCode::InvalidArgument,
                "the copy of volume " + request.name + " on " + request.node +
                    " may lack writes that were acknowledged, and to use it throws away for "
                    "good what only others have: nothing was changed; say --i-accept-data-loss "
                    "to do it");
  }
  const auto chosen =
      std::find_if(known.replicas.begin(), known.replicas.end(),
                   [&](const auto& candidate) { return candidate.node == request.node; });
  const model::Current::Forced forced{
      .node = request.node,
      .at = std::time(nullptr),
      .by = request.by + " on " + settings_.here,
      .disk_state = chosen == known.replicas.end() ? "" : chosen->disk_state};
  store::Change with;
  if (former && current) with = take_back(request.node, *found, current->value);
  if (!current || !arbiter_.force(request.name, current->revision, forced, with)) {
    throw Error(ErrorCode::Unavailable, "the current set of volume " + request.name +
                                            " has just changed: nothing was forced, look again");
  }
  store_.commit(store::Change().wake(get_volume(request.name)));
  return show_volume(request.name);
}

}  // namespace plexvol::service
