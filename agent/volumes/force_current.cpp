#include "agent/volumes/force_current.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>

#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/model/codec.h"
#include "agent/volumes/describe.h"
#include "agent/volumes/lookup.h"
#include "agent/volumes/witness.h"

namespace plexvol::volumes {

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
    throw Error(
        ErrorCode::Conflict,
        fmt::format("volume {}: the replica on {} was replaced, and its replacement is complete",
                    next.name, node));
  }
  next.add_replica({.node = node, .made = true});
  store::Change change;
  const std::string key = store::keys::volume(next.name);
  change.require(key, volume.revision).put(key, model::to_json(next)).wake(next);
  return change;
}

using Replicas = std::vector<api::ReplicaInfo>;

const api::ReplicaInfo* find(const Replicas& replicas, const std::string& node) {
  const auto found = std::find_if(replicas.begin(), replicas.end(),
                                  [&](const auto& replica) { return replica.node == node; });
  return found == replicas.end() ? nullptr : &*found;
}

// A current copy whose node runs, though its agent does not, or has not spoken since its start: it
// may be the good one, in use at this moment. No accepted loss is meant for that.
void refuse_beside_living(const model::Volume& volume, const std::string& chosen,
                          const model::Current& current, store::TypedStore& store) {
  for (const std::string& node : current.nodes) {
    if (node == chosen) continue;
    const auto session = store.find_session(node);
    const auto status = store.find_status(node, volume.name);
    if (session && (!status || status->session != *session)) {
      throw Error(ErrorCode::Unavailable,
                  fmt::format("volume {}: the agent on {}, which has a current replica, has just "
                              "started; try again in a moment",
                              volume.name, node));
    }
    const auto witness = session ? std::nullopt : find_witness(volume, node, store);
    if (!witness) continue;
    throw Error(ErrorCode::Conflict,
                fmt::format("volume {0}: {1} is running without its agent ({2} is connected to its "
                            "current replica): start the agent on {1}; nothing was changed",
                            volume.name, node, *witness));
  }
}

// Where the chosen copy alone counts already, force helps only against what DRBD says of its disk.
void refuse_needless(const model::Volume& volume, const std::string& node,
                     const model::Current& current, const api::ReplicaInfo* chosen) {
  const std::string disk = chosen == nullptr ? "" : chosen->disk_state;
  const bool helps = disk == "Outdated" || disk == "Inconsistent" || disk == "Diskless";
  if (current.nodes != std::set<std::string>{node} || helps) return;
  const std::string said = chosen == nullptr || chosen->error.empty() ? "" : ": " + chosen->error;
  throw Error(ErrorCode::Conflict,
              fmt::format("volume {}: the replica on {} is already the only current one; forcing "
                          "it would not help: find out why it cannot be used{}",
                          volume.name, node, said));
}

// "It left the set at 2026-01-31T10:00:00Z and lacks at least 80Mi": what is given up by it.
std::string describe_loss(const std::string& node, const model::Current& current,
                          const Replicas& replicas) {
  std::string text;
  const auto left = current.left.find(node);
  if (left != current.left.end()) text = " left the current set at " + time_to_text(left->second);
  const api::ReplicaInfo* chosen = find(replicas, node);
  if (chosen != nullptr && !chosen->current) {
    text += fmt::format("{} lacks at least {}", text.empty() ? "" : " and",
                        size_to_text(chosen->out_of_sync_bytes));
  }
  return text.empty() ? " may lack acknowledged writes" : text;
}

}  // namespace

// Only where nothing else helps: while a copy of the set can be used, there is nothing to decide.
void force_current(store::TypedStore& store, arbiter::Arbiter& arbiter, const std::string& here,
                   const api::ForceCurrentRequest& request) {
  check_volume_name(request.name);
  check_node_name(request.node);
  const auto found = store.find_volume(request.name);
  if (!found) throw Error(ErrorCode::NotFound, "no volume named " + request.name);
  const model::Volume& volume = found->value;
  const std::string name = "volume " + request.name;
  // Read before the look at the copies: what happens in between makes the write fail.
  const auto current = store.find_current(request.name);
  const api::VolumeInfo known = show_volume(store, request.name);
  if (volume.wanted_copies() == 1) throw Error(ErrorCode::Conflict, name + " has only one replica");
  const model::Replica* replica = volume.find_replica(request.node);
  const bool former = volume.former.contains(request.node);
  if (!former && (replica == nullptr || !replica->made)) {
    throw Error(ErrorCode::Conflict,
                fmt::format("{} has no replica on {} that could be used", name, request.node));
  }
  const auto usable = std::find_if(known.replicas.begin(), known.replicas.end(), is_usable);
  if (usable != known.replicas.end()) {
    throw Error(
        ErrorCode::Conflict,
        fmt::format("not needed: {} has a current, usable replica of {}", usable->node, name));
  }
  const model::Current set = current ? current->value : model::Current{};
  const api::ReplicaInfo* chosen = find(known.replicas, request.node);
  if (!store.is_alive(request.node)) {
    throw Error(ErrorCode::Conflict,
                fmt::format("{0}: the agent on {1} is not running, so it is unknown what its "
                            "replica is connected to: start {1} and its agent first",
                            name, request.node));
  }
  refuse_beside_living(volume, request.node, set, store);
  refuse_needless(volume, request.node, set, chosen);
  if (!request.accept_data_loss) {
    throw Error(
        ErrorCode::InvalidArgument,
        fmt::format("{}: the replica on {}{}; using it permanently discards data that only the "
                    "others have; nothing was changed: add --i-accept-data-loss to do it",
                    name, request.node, describe_loss(request.node, set, known.replicas)));
  }
  const model::Current::Forced forced{.node = request.node,
                                      .at = std::time(nullptr),
                                      .by = fmt::format("{} on {}", request.by, here),
                                      .disk_state = chosen == nullptr ? "" : chosen->disk_state};
  store::Change with;
  if (former && current) with = take_back(request.node, *found, current->value);
  if (!current || !arbiter.force(request.name, current->revision, forced, with)) {
    throw Error(
        ErrorCode::Unavailable,
        fmt::format("{}: the current set changed concurrently; nothing was forced, try again",
                    name));
  }
  store.commit(store::Change().wake(get_volume(store, request.name)));
}

}  // namespace plexvol::volumes
