#include "agent/view/volume_health.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "agent/api/text.h"
#include "agent/base/text.h"

namespace plexvol::view {

namespace {

using Replica = api::ReplicaInfo;

constexpr std::size_t kMostErrorBytes = 600;

// Why a copy is missing, and what a user has to do about it.
struct Fault {
  std::string what;
  std::string advice = {};
  bool quotes_error = false;
};

bool is_known(const api::VolumeInfo& volume) {
  return !volume.deleting && volume.state != "Creating" && volume.state != "Unreadable" &&
         !volume.replicas.empty();
}

// While it is attached it is Diskless, too: only the agent's word makes a failure of that.
bool has_failed_disk(const Replica& replica) {
  const bool is_diskless = replica.disk_state == "Diskless" || replica.disk_state == "Failed";
  return is_diskless && (!replica.current || !replica.error.empty());
}

bool is_connected(const Replica& replica) {
  return replica.connection == "Connected";
}

// By the words of the others: what it last said of itself says nothing about now.
bool is_seen_connected(const api::VolumeInfo& volume, const Replica& replica) {
  return std::ranges::any_of(volume.replicas, [&](const Replica& other) {
    return other.node != replica.node && other.alive && is_connected(other);
  });
}

bool is_seen_apart(const api::VolumeInfo& volume, const Replica& replica) {
  return std::ranges::any_of(volume.replicas, [&](const Replica& other) {
    return other.node != replica.node && other.alive && !other.connection.empty() &&
           !is_connected(other);
  });
}

bool can_be_used(const api::VolumeInfo& volume, const Replica& replica) {
  return replica.made && replica.current && !has_failed_disk(replica) &&
         (replica.alive || is_seen_connected(volume, replica));
}

// What a user has to do, if anything, follows from the agent's own word.
Fault quote(const Replica& replica, std::string what) {
  if (replica.error.empty()) return {.what = std::move(what)};
  return {.what = fmt::format("{}: {}", what, quote_error(replica.error)), .quotes_error = true};
}

Fault find_fault_of_living(const Replica& replica) {
  const std::string& node = replica.node;
  if (!replica.made) return {.what = fmt::format("the new copy on {} is not complete yet", node)};
  if (has_failed_disk(replica)) {
    Fault fault = quote(replica, fmt::format("the disk of the copy on {} has failed", node));
    if (!fault.quotes_error) fault.advice = fmt::format("check the disks of {}", node);
    return fault;
  }
  if (is_connected(replica)) {
    return {.what = fmt::format("the copy on {} is being resynced", node)};
  }
  if (!replica.error.empty()) {
    return quote(replica, fmt::format("the copy on {} is out of the current set", node));
  }
  return {.what = fmt::format("the copy on {} is out of the current set and not connected", node),
          .advice = "check the network between the nodes (`plexvol doctor` on each)"};
}

std::optional<Fault> find_fault(const api::VolumeInfo& volume, const Replica& replica) {
  if (can_be_used(volume, replica)) return std::nullopt;
  if (replica.alive || is_seen_connected(volume, replica)) return find_fault_of_living(replica);
  return Fault{.what =
                   is_seen_apart(volume, replica)
                       ? fmt::format("node {} is down", replica.node)
                       : fmt::format("node {} is down, or its agent is not running", replica.node)};
}

std::size_t count_copies(const api::VolumeInfo& volume) {
  return std::max<std::size_t>(volume.copies, volume.replicas.size());
}

std::vector<Fault> find_faults(const api::VolumeInfo& volume, VolumeHealth& health) {
  std::vector<Fault> faults;
  for (const Replica& replica : volume.replicas) {
    auto fault = find_fault(volume, replica);
    if (!fault) continue;
    if (fault->quotes_error) health.quoted.insert(replica.node);
    if (replica.left_at != 0 && (health.since == 0 || replica.left_at < health.since)) {
      health.since = replica.left_at;
    }
    faults.push_back(std::move(*fault));
  }
  for (std::size_t i = volume.replicas.size(); i < count_copies(volume); ++i) {
    faults.push_back({.what = "it was lost, and no other node could take a new one",
                      .advice = "add a node with room, or uncordon one"});
  }
  return faults;
}

// A current copy on a node that is down has what the others lack.
std::string advise_unavailable(const api::VolumeInfo& volume, const VolumeHealth& health) {
  std::vector<std::string> awaited;
  std::string candidate;
  for (const Replica& replica : volume.replicas) {
    if (replica.current && !replica.alive) awaited.push_back(replica.node);
    const bool may_be_chosen =
        replica.alive && replica.made && !replica.current && !has_failed_disk(replica);
    if (may_be_chosen && candidate.empty()) candidate = replica.node;
  }
  if (awaited.empty()) {
    return health.quoted.empty() ? fmt::format("see `plexvol volume show {}`", volume.name) : "";
  }
  std::string text = fmt::format("start {} and its agent", base::join(awaited, " or "));
  if (!candidate.empty()) {
    text += fmt::format(
        ", which has the newest data; only if it never returns: `plexvol volume force-current {} "
        "--node {}`",
        volume.name, candidate);
  }
  return text;
}

void describe_faults(const api::VolumeInfo& volume, const std::vector<Fault>& faults,
                     VolumeHealth& health) {
  std::vector<std::string> words;
  std::set<std::string> advices;
  for (const Fault& fault : faults) {
    words.push_back(fault.what);
    if (!fault.advice.empty()) advices.insert(fault.advice);
  }
  const bool is_available = std::ranges::any_of(
      volume.replicas, [&](const Replica& replica) { return can_be_used(volume, replica); });
  if (is_available) {
    health.state = VolumeHealth::State::Degraded;
    health.what =
        faults.size() == 1
            ? fmt::format("one of {} copies is missing", count_copies(volume))
            : fmt::format("{} of {} copies are missing", faults.size(), count_copies(volume));
  } else {
    health.state = VolumeHealth::State::Unavailable;
    health.what = "no copy can be used";
    advices.clear();
    const std::string advice = advise_unavailable(volume, health);
    if (!advice.empty()) advices.insert(advice);
  }
  words.insert(words.end(), advices.begin(), advices.end());
  health.why = base::join(words, "; ");
}

// All in the set, and apart: the next node that uses the volume goes on without the other. Both sides
// have to say so, and one whose node's agent is away says nothing.
void describe_connections(const api::VolumeInfo& volume, VolumeHealth& health) {
  std::vector<std::string> nodes;
  for (const Replica& replica : volume.replicas) {
    if (!replica.alive || replica.connection.empty() || is_connected(replica)) return;
    nodes.push_back(replica.node);
  }
  if (nodes.size() < 2) return;
  health.state = VolumeHealth::State::Degraded;
  health.what = "the copies are not connected";
  health.why = fmt::format("check the network between {} (`plexvol doctor` on each)",
                           base::join(nodes, " and "));
}

}  // namespace

std::string quote_error(const std::string& error) {
  return one_line(error, kMostErrorBytes);
}

VolumeHealth find_health(const api::VolumeInfo& volume) {
  VolumeHealth health;
  if (!is_known(volume)) return health;
  const std::vector<Fault> faults = find_faults(volume, health);
  if (!faults.empty()) {
    describe_faults(volume, faults, health);
    return health;
  }
  health.state = VolumeHealth::State::Healthy;
  describe_connections(volume, health);
  return health;
}

std::set<std::string> find_whole_copies(const api::VolumeInfo& volume) {
  std::set<std::string> nodes;
  if (!is_known(volume) || volume.replicas.size() < volume.copies) return nodes;
  for (const Replica& replica : volume.replicas) {
    if (!replica.made || !replica.current) return {};
    nodes.insert(replica.node);
  }
  return nodes;
}

}  // namespace plexvol::view
