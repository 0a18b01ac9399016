#include "agent/mounting/mount_calls.h"

#include <fmt/core.h>
#include <unistd.h>

#include <utility>

namespace plexvol::mounting {

MountCalls::MountCalls(std::function<void(const std::string&)> on_change)
    : on_change_(std::move(on_change)) {}

std::string MountCalls::begin(const std::string& volume) {
  std::string id;
  {
    const std::lock_guard lock(mutex_);
    // With the process id, so that a driver that outlived a former agent cannot end a call of this
    // one.
    id = fmt::format("{}.{}", getpid(), ++next_id_);
    calls_[id] = Call{.volume = volume, .prepared = {}, .error = {}};
  }
  on_change_(volume);
  return id;
}

std::optional<std::string> MountCalls::find_volume(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find(id);
  if (found == calls_.end()) return std::nullopt;
  return found->second.volume;
}

void MountCalls::end(const std::string& id) {
  std::string volume;
  {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(id);
    if (found == calls_.end()) return;
    volume = found->second.volume;
    calls_.erase(found);
  }
  on_change_(volume);
}

Counts MountCalls::counts(const std::string& volume) const {
  const std::lock_guard lock(mutex_);
  Counts counts;
  for (const auto& [id, call] : calls_) {
    if (call.volume != volume) continue;
    ++(call.prepared ? counts.mounting : counts.waiting);
  }
  return counts;
}

void MountCalls::complete(const std::string& volume, const Prepared& prepared) {
  const std::lock_guard lock(mutex_);
  for (auto& [id, call] : calls_) {
    if (call.volume == volume && !call.prepared) call.prepared = prepared;
  }
  changed_.notify_all();
}

void MountCalls::report(const std::string& volume, const Error& error) {
  const std::lock_guard lock(mutex_);
  for (auto& [id, call] : calls_) {
    if (call.volume == volume && !call.prepared) call.error = error;
  }
  changed_.notify_all();
}

void MountCalls::interrupt(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  found->second.interrupted = true;
  changed_.notify_all();
}

Prepared MountCalls::wait(const std::string& id, std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  const auto settled = [&] {
    const auto found = calls_.find(id);
    if (found == calls_.end()) return true;
    const Call& call = found->second;
    return call.interrupted || call.prepared ||
           (call.error && call.error->code() != ErrorCode::Unavailable);
  };
  changed_.wait_until(lock, deadline, settled);
  const auto found = calls_.find(id);
  if (found == calls_.end()) {
    throw Error(ErrorCode::Unavailable, "cancelled: the caller ended the mount call");
  }
  found->second.interrupted = false;
  if (found->second.prepared) return *found->second.prepared;
  if (found->second.error) throw Error(*found->second.error);
  throw Error(ErrorCode::Unavailable,
              fmt::format("timed out waiting for volume {} to become ready to mount",
                          found->second.volume));
}

}  // namespace plexvol::mounting
