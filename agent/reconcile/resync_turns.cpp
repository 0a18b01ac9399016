#include "agent/reconcile/resync_turns.h"

#include <algorithm>
#include <set>
#include <utility>

#include "agent/log.h"

namespace plexvol::reconcile {

namespace {

// Running or held back: SyncSource, SyncTarget, PausedSyncS, PausedSyncT.
bool is_resyncing(const drbd::ResourceState& state) {
  return state.replication.starts_with("Sync") || state.replication.starts_with("PausedSync");
}

bool held_by_us(const drbd::ResourceState& state) {
  return state.resync_suspended.find("user") != std::string::npos;
}

// Not by us, too: two that were told of it at once would each wait for the other for ever.
bool held_by_peer_alone(const drbd::ResourceState& state) {
  return state.resync_suspended.find("peer") != std::string::npos && !held_by_us(state);
}

}  // namespace

std::vector<Turn> plan_turns(const std::map<std::string, drbd::ResourceState>& resources,
                             const ResyncLimits& limits) {
  using Entry = std::pair<unsigned, std::string>;
  std::vector<Entry> waiting;
  for (const auto& [name, state] : resources) {
    // What the peer holds back takes nobody's place, and what is quickly done is not worth waiting.
    const bool counts = held_by_us(state) || state.out_of_sync_bytes >= limits.short_bytes;
    if (is_resyncing(state) && !held_by_peer_alone(state) && counts) {
      waiting.emplace_back(state.minor, name);
    }
  }
  std::sort(waiting.begin(), waiting.end());
  std::vector<Turn> turns;
  for (std::size_t place = 0; place < waiting.size(); ++place) {
    const std::string& name = waiting[place].second;
    const bool runs = place < limits.max;
    if (runs == held_by_us(resources.at(name))) turns.push_back({.resource = name, .runs = runs});
  }
  return turns;
}

bool ResyncTurns::note(const std::string& volume,
                       const std::optional<drbd::ResourceState>& resource, bool is_expected) {
  const bool runs = resource && is_resyncing(*resource) && !held_by_peer_alone(*resource);
  const std::lock_guard lock(mutex_);
  if (!runs && !is_expected) return syncing_.erase(volume) > 0;
  const auto [entry, is_new] = syncing_.try_emplace(volume, runs);
  return is_new || std::exchange(entry->second, runs) != runs;
}

bool ResyncTurns::reserve(const std::string& volume) {
  const std::lock_guard lock(mutex_);
  if (is_taken(volume)) return false;
  syncing_.try_emplace(volume, false);
  return true;
}

void ResyncTurns::cancel(const std::string& volume) {
  const std::lock_guard lock(mutex_);
  syncing_.erase(volume);
}

bool ResyncTurns::is_full(const std::string& volume) const {
  const std::lock_guard lock(mutex_);
  return is_taken(volume);
}

bool ResyncTurns::is_taken(const std::string& volume) const {
  return syncing_.size() - syncing_.count(volume) >= limits_.max;
}

void ResyncTurns::look(drbd::Drbd& drbd) const {
  const std::vector<std::string> configured = drbd.list_configured();
  if (configured.empty()) return;
  const std::set<std::string> ours(configured.begin(), configured.end());
  auto resources = drbd.list_resources();
  std::erase_if(resources, [&](const auto& entry) { return !ours.contains(entry.first); });
  for (const Turn& turn : plan_turns(resources, limits_)) {
    log::info(std::string(turn.runs ? "resync continues" : "resync is waiting for its turn"),
              {{"volume", turn.resource}});
    if (turn.runs) {
      drbd.resume_resync(turn.resource);
    } else {
      drbd.pause_resync(turn.resource);
    }
  }
}

}  // namespace plexvol::reconcile
