#include "agent/reconcile/resync_turns.h"

#include <algorithm>

#include "agent/log.h"

namespace plexvol::reconcile {

namespace {

constexpr std::uint64_t kShort = 1ULL << 30U;

// Running or held back: SyncSource, SyncTarget, PausedSyncS, PausedSyncT.
bool is_resyncing(const drbd::ResourceState& state) {
  return state.replication.starts_with("Sync") || state.replication.starts_with("PausedSync");
}

bool held_by_us(const drbd::ResourceState& state) {
  return state.resync_suspended.find("user") != std::string::npos;
}

bool held_by_peer(const drbd::ResourceState& state) {
  return state.resync_suspended.find("peer") != std::string::npos;
}

}  // namespace

std::vector<Turn> plan_turns(const std::map<std::string, drbd::ResourceState>& resources,
                             unsigned max_resyncs) {
  using Entry = std::pair<unsigned, std::string>;
  std::vector<Entry> waiting;
  for (const auto& [name, state] : resources) {
    // What the peer holds back takes nobody's place, and what is quickly done is not worth waiting.
    const bool counts = held_by_us(state) || state.out_of_sync_bytes >= kShort;
    if (is_resyncing(state) && !held_by_peer(state) && counts) {
      waiting.emplace_back(state.minor, name);
    }
  }
  std::sort(waiting.begin(), waiting.end());
  std::vector<Turn> turns;
  for (std::size_t place = 0; place < waiting.size(); ++place) {
    const std::string& name = waiting[place].second;
    const bool runs = place < max_resyncs;
    if (runs == held_by_us(resources.at(name))) turns.push_back({.resource = name, .runs = runs});
  }
  return turns;
}

bool ResyncTurns::note(const std::string& volume,
                       const std::optional<drbd::ResourceState>& resource, bool is_expected) {
  const bool now = is_expected || (resource && is_resyncing(*resource));
  const std::lock_guard lock(mutex_);
  return now ? syncing_.insert(volume).second : syncing_.erase(volume) > 0;
}

bool ResyncTurns::is_full() const {
  const std::lock_guard lock(mutex_);
  return syncing_.size() >= max_resyncs_;
}

void ResyncTurns::look(drbd::Drbd& drbd) const {
  const std::vector<std::string> configured = drbd.list_configured();
  if (configured.empty()) return;
  const std::set<std::string> ours(configured.begin(), configured.end());
  auto resources = drbd.list_resources();
  std::erase_if(resources, [&](const auto& entry) { return !ours.contains(entry.first); });
  for (const Turn& turn : plan_turns(resources, max_resyncs_)) {
    log::info(std::string(turn.runs ? "resync goes on" : "resync waits for its turn"),
              {{"volume", turn.resource}});
    if (turn.runs) {
      drbd.resume_resync(turn.resource);
    } else {
      drbd.pause_resync(turn.resource);
    }
  }
}

}  // namespace plexvol::reconcile
