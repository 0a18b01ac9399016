// A person's word against the arbiter's.
#include <algorithm>
#include <ctime>

#include "agent/api/names.h"
#include "agent/service/service.h"

namespace plexvol::service {

namespace {

bool is_usable(const api::ReplicaInfo& replica) {
  return replica.alive && replica.current &&
         (replica.disk_state == "UpToDate" || replica.disk_state == "Consistent");
}

}  // namespace

// Only where nothing else helps: while a copy of the set can be used, there is nothing to decide.
api::VolumeInfo Service::force_current(const api::ForceCurrentRequest& request) {
  check_node_name(request.node);
  const model::Volume volume = get_volume(request.name);
  // Read before the look at the copies: what happens in between makes the write fail.
  const auto current = store_.find_current(request.name);
  const api::VolumeInfo known = show_volume(request.name);
  if (!volume.mirrored()) {
    throw Error(ErrorCode::Conflict, "volume " + request.name + " has only one copy");
  }
  const model::Replica* replica = volume.find_replica(request.node);
  if (replica == nullptr || !replica->made) {
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
  const model::Current::Forced forced{.node = request.node,
                                      .at = std::time(nullptr),
                                      .by = request.by + " on " + settings_.here,
                                      .disk_state = chosen->disk_state};
  if (!current || !arbiter_.force(request.name, current->revision, forced)) {
    throw Error(ErrorCode::Unavailable, "the current set of volume " + request.name +
                                            " has just changed: nothing was forced, look again");
  }
  store_.commit(store::Change().wake(volume));
  return show_volume(request.name);
}

}  // namespace plexvol::service
