#include "agent/reconcile/reconciler.h"

#include <utility>

#include "agent/mounts/guard.h"

namespace plexvol::reconcile {

Reconciler::Reconciler(Tools tools, ReconcilerSettings settings)
    : tools_(std::move(tools)),
      settings_(std::move(settings)),
      peers_(settings_.rebuild_time),
      resync_turns_(settings_.resync_limits) {}

std::vector<std::string> Reconciler::look_at_cordons() {
  return list_with_peer_in(peers_.look_at_cordons(tools_.store));
}

std::vector<std::string> Reconciler::list_drained() {
  return list_with_peer_in(peers_.list_drained());
}

void Reconciler::forget(const std::string& volume) {
  {
    const std::lock_guard lock(mutex_);
    pictures_.erase(volume);
    peer_of_.erase(volume);
  }
  tools_.jobs.drop_ended(volume, "");
  if (resync_turns_.note(volume, std::nullopt)) settings_.resyncs_changed();
}

void Reconciler::remember_peer(const std::string& volume, const std::string& node) {
  const std::lock_guard lock(mutex_);
  if (node.empty()) {
    peer_of_.erase(volume);
  } else {
    peer_of_[volume] = node;
  }
}

std::vector<std::string> Reconciler::list_with_peer_in(const std::set<std::string>& nodes) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> volumes;
  for (const auto& [volume, node] : peer_of_) {
    if (nodes.contains(node)) volumes.push_back(volume);
  }
  return volumes;
}

std::set<std::string> Reconciler::list_concerned() {
  std::set<std::string> names = tools_.store.list_assigned(settings_.here);
  for (const std::string& name : tools_.drbd.list_configured()) names.insert(name);
  return names;
}

void Reconciler::take_turns() {
  resync_turns_.look(tools_.drbd);
}

bool Reconciler::connect_time_over(const Wanted& wanted, const Seen& seen) {
  const bool waits = wanted.attached_here() && seen.resource && seen.resource->role != "Primary" &&
                     seen.resource->connection != "Connected";
  return has_lasted(unconnected_since_, wanted.volume.name, waits, settings_.connect_time);
}

bool Reconciler::apart_time_over(const Wanted& wanted, const Seen& seen) {
  const bool apart = seen.resource && seen.resource->connection != "Connected";
  return has_lasted(
      apart_since_, wanted.volume.name, apart,
      wanted.peer_fate == PeerFate::Gone ? settings_.rebuild_time : settings_.connect_time);
}

bool Reconciler::unable_time_over(const std::string& volume, bool is_unable) {
  return has_lasted(unable_since_, volume, is_unable, settings_.connect_time);
}

bool Reconciler::question_time_over(const Wanted& wanted, const Seen& seen) {
  return has_lasted(frozen_since_, wanted.volume.name, frozen(seen), settings_.question_time);
}

bool Reconciler::has_lasted(std::map<std::string, Clock::time_point>& since,
                            const std::string& volume, bool is_so, Clock::duration long_enough) {
  const std::lock_guard lock(mutex_);
  if (!is_so) {
    since.erase(volume);
    return false;
  }
  const auto now = Clock::now();
  return now - since.try_emplace(volume, now).first->second >= long_enough;
}

void Reconciler::remember_mounts(const std::string& volume, const Seen& seen) {
  const std::lock_guard lock(mutex_);
  if (!seen.device) {
    pictures_.erase(volume);
    return;
  }
  pictures_[volume] = {.device = {.major = seen.device->major, .minor = seen.device->minor},
                       .mounts = seen.mounts,
                       .is_frozen = frozen(seen)};
}

std::map<std::string, std::vector<std::string>> Reconciler::list_mounts() {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::vector<std::string>> mounts;
  for (const auto& [volume, picture] : pictures_) {
    if (!picture.is_frozen) mounts[volume] = picture.mounts;
  }
  return mounts;
}

std::vector<std::string> Reconciler::list_changed_mounts() {
  std::map<std::string, Picture> pictures;
  {
    const std::lock_guard lock(mutex_);
    pictures = pictures_;
  }
  std::vector<filesystem::MountedThing> things;
  things.reserve(pictures.size());
  for (const auto& [volume, picture] : pictures) {
    things.push_back({.device = picture.device, .placeholder = mounts::placeholder_source(volume)});
  }
  const auto lists = filesystem::list_mounts(things);
  std::vector<std::string> changed;
  auto list = lists.begin();
  for (const auto& [volume, picture] : pictures) {
    if (*list++ != picture.mounts) changed.push_back(volume);
  }
  return changed;
}

}  // namespace plexvol::reconcile
