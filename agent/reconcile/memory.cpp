#include "agent/reconcile/memory.h"

#include "agent/filesystem/mount_table.h"
#include "agent/mounts/guard.h"

namespace plexvol::reconcile {

bool Memory::waits_for_peer(const Wanted& wanted, const Seen& seen, Duration long_enough) {
  const bool waits = wanted.attached_here() && seen.resource && seen.resource->role != "Primary" &&
                     seen.resource->connection != "Connected";
  return has_lasted(waiting_since_, wanted.volume.name, waits, long_enough);
}

bool Memory::is_apart(const Wanted& wanted, const Seen& seen, Duration long_enough) {
  const bool apart = seen.resource && seen.resource->connection != "Connected";
  return has_lasted(apart_since_, wanted.volume.name, apart, long_enough);
}

bool Memory::is_unable(const std::string& volume, bool unable_now, Duration long_enough) {
  return has_lasted(unable_since_, volume, unable_now, long_enough);
}

bool Memory::is_frozen(const Wanted& wanted, const Seen& seen, Duration long_enough) {
  return has_lasted(frozen_since_, wanted.volume.name, frozen(seen), long_enough);
}

bool Memory::has_lasted(Since& since, const std::string& volume, bool is_so, Duration long_enough) {
  const std::lock_guard lock(mutex_);
  if (!is_so) {
    since.erase(volume);
    return false;
  }
  const auto now = Clock::now();
  return now - since.try_emplace(volume, now).first->second >= long_enough;
}

void Memory::record_mounts(const std::string& volume, const Seen& seen) {
  const std::lock_guard lock(mutex_);
  if (!seen.device) {
    mounted_.erase(volume);
    return;
  }
  mounted_[volume] = {.device = {.major = seen.device->major, .minor = seen.device->minor},
                      .mounts = seen.mounts,
                      .is_frozen = frozen(seen)};
}

void Memory::record_peer(const std::string& volume, const std::string& node) {
  const std::lock_guard lock(mutex_);
  if (node.empty()) {
    peer_of_.erase(volume);
  } else {
    peer_of_[volume] = node;
  }
}

void Memory::forget(const std::string& volume) {
  const std::lock_guard lock(mutex_);
  for (Since* since : {&waiting_since_, &apart_since_, &unable_since_, &frozen_since_}) {
    since->erase(volume);
  }
  mounted_.erase(volume);
  peer_of_.erase(volume);
}

std::vector<std::string> Memory::list_with_peer_in(const std::set<std::string>& nodes) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> volumes;
  for (const auto& [volume, node] : peer_of_) {
    if (nodes.contains(node)) volumes.push_back(volume);
  }
  return volumes;
}

std::map<std::string, std::vector<std::string>> Memory::list_mounts() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::vector<std::string>> mounts;
  for (const auto& [volume, mounted] : mounted_) {
    if (!mounted.is_frozen) mounts[volume] = mounted.mounts;
  }
  return mounts;
}

std::vector<std::string> Memory::list_changed_mounts() const {
  std::map<std::string, MountedDevice> before;
  {
    const std::lock_guard lock(mutex_);
    before = mounted_;
  }
  std::vector<filesystem::MountedThing> things;
  things.reserve(before.size());
  for (const auto& [volume, mounted] : before) {
    things.push_back({.device = mounted.device, .placeholder = mounts::placeholder_source(volume)});
  }
  const auto lists = filesystem::list_mounts(things);
  std::vector<std::string> changed;
  auto list = lists.begin();
  for (const auto& [volume, mounted] : before) {
    if (*list++ != mounted.mounts) changed.push_back(volume);
  }
  return changed;
}

}  // namespace plexvol::reconcile
