#include "agent/model/model.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace plexvol::model {

const Replica* Volume::find_replica(const std::string& node) const {
  const auto found = std::find_if(replicas.begin(), replicas.end(),
                                  [&](const Replica& replica) { return replica.node == node; });
  return found == replicas.end() ? nullptr : &*found;
}

void Volume::add_replica(Replica replica) {
  const auto taken = [&](unsigned number) {
    return std::any_of(replicas.begin(), replicas.end(),
                       [&](const Replica& other) { return other.number == number; });
  };
  replica.number = 0;
  while (taken(replica.number)) ++replica.number;
  replicas.push_back(std::move(replica));
}

std::string Volume::peer_of(const std::string& node) const {
  for (const Replica& replica : replicas) {
    if (replica.node != node) return replica.node;
  }
  return "";
}

std::vector<std::string> Volume::nodes() const {
  std::vector<std::string> names;
  names.reserve(replicas.size());
  for (const Replica& replica : replicas) names.push_back(replica.node);
  return names;
}

bool Volume::concerns(const std::string& node) const {
  return find_replica(node) != nullptr || former.contains(node);
}

std::set<std::string> Volume::concerned_nodes() const {
  std::set<std::string> names = former;
  for (const Replica& replica : replicas) names.insert(replica.node);
  return names;
}

const SetChange* History::find(std::uint64_t epoch) const {
  const auto found = std::find_if(changes.begin(), changes.end(),
                                  [&](const SetChange& change) { return change.epoch == epoch; });
  return found == changes.end() ? nullptr : &*found;
}

std::string to_text(const std::set<std::string>& nodes) {
  std::string text = "{";
  for (const std::string& node : nodes) {
    if (text.size() > 1) text += ',';
    text += node;
  }
  return text += '}';
}

std::string find_contradiction(const Acted& acted, const Volume& volume,
                               const std::optional<Current>& current) {
  if (acted.volume_id != volume.id) return "";
  const std::string known =
      fmt::format("this node acted on set {} {}", acted.epoch, to_text(acted.nodes));
  if (!current) return known + ", but the store has no set";
  const std::string there =
      fmt::format("the store has set {} {}", current->epoch, to_text(current->nodes));
  if (acted.epoch > current->epoch) return fmt::format("{}, but {}", known, there);
  // An epoch without an entry says nothing: it is older than the history, or of 0.1.0.
  const SetChange* change = current->history.find(acted.epoch);
  if (change != nullptr && change->id != acted.id) {
    return fmt::format("{}, but {}, which came from another set {}", known, there, acted.epoch);
  }
  if (acted.formatted && volume.format != Format::Done) {
    return "its file system was created, but the store says that it was not";
  }
  return "";
}

const Pool* Node::find_pool(const std::string& pool) const {
  const auto found =
      std::find_if(pools.begin(), pools.end(), [&](const Pool& p) { return p.name == pool; });
  return found == pools.end() ? nullptr : &*found;
}

}  // namespace plexvol::model
