#include "agent/cluster/repair_plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/api/error.h"
#include "agent/model/codec.h"
#include "agent/store/sets.h"

namespace plexvol::cluster {

namespace {

using Kind = RepairDecision::Kind;

RepairDecision doubt(std::string text) {
  return {.kind = Kind::Doubt, .text = std::move(text)};
}

// The volume as the node last saw it; nullopt when it keeps no such record.
std::optional<model::Volume> record_of(const model::Acted& acted) {
  try {
    auto volume = model::from_json<model::Volume>(acted.record);
    if (volume.id == acted.volume_id && volume.name == acted.volume) return volume;
  } catch (const Error&) {
    // Too large to be kept, or of a version that writes another one.
  }
  return std::nullopt;
}

class Decider {
 public:
  Decider(const VolumeKnowledge& known, const RepairTerms& terms) : known_(known), terms_(terms) {}

  RepairDecision run() {
    const auto chosen = terms_.use.find(known_.name);
    if (chosen != terms_.use.end()) return choose(chosen->second);
    if (const std::string missing = find_missing(); !missing.empty()) return doubt(missing);
    if (known_.words.empty()) {
      return {
          .kind = Kind::Keep,
          .text =
              "kept: no node has acted on it; if it was deleted after the backup, delete it again"};
    }
    std::set<std::string> ids;
    for (const Word& word : known_.words) ids.insert(word.acted.volume_id);
    if (ids.size() > 1) return doubt(advise("the nodes have different volumes of this name"));
    same_ = known_.volume && known_.volume->id == *ids.begin();
    return follow();
  }

 private:
  std::string advise(const std::string& why) const {
    return fmt::format("{}: choose whose data counts, with --use {}=NODE --i-accept-data-loss", why,
                       known_.name);
  }

  // The nodes that have, or may have, a replica.
  std::string find_missing() const {
    std::set<std::string> needed;
    if (known_.volume) needed = known_.volume->concerned_nodes();
    for (const Word& word : known_.words) {
      needed.insert(word.acted.nodes.begin(), word.acted.nodes.end());
      if (const auto record = record_of(word.acted)) needed.merge(record->concerned_nodes());
    }
    std::string missing;
    for (const std::string& node : needed) {
      if (terms_.answered.contains(node) || terms_.without.contains(node)) continue;
      missing += (missing.empty() ? "" : ", ") + node;
    }
    if (missing.empty()) return "";
    return fmt::format(
        "{} may know of a newer set and has not answered: start its agent, or continue without it: "
        "--without NODE",
        missing);
  }

  const Word& newest() const {
    return *std::max_element(known_.words.begin(), known_.words.end(),
                             [](const Word& one, const Word& other) {
                               return std::pair(one.acted.epoch, one.acted.record.size()) <
                                      std::pair(other.acted.epoch, other.acted.record.size());
                             });
  }

  // The first thing acted on that did not lead to the set that `line` led to; "" when all did.
  std::string find_other_line(const model::History& line, const std::string& owner) const {
    const auto differs = [&](std::uint64_t epoch, const std::string& id) {
      const model::SetChange* change = line.find(epoch);
      return change != nullptr && change->id != id;
    };
    for (const Word& word : known_.words) {
      if (!differs(word.acted.epoch, word.acted.id)) continue;
      return fmt::format("{} acted on {}, and {} came from another set {}", word.node,
                         describe_set(word.acted.epoch, word.acted.nodes), owner, word.acted.epoch);
    }
    if (!same_ || !known_.current || known_.current->history.changes.empty()) return "";
    const auto& last = known_.current->history.changes.back();
    if (!differs(last.epoch, last.id)) return "";
    return fmt::format("the store has {}, and {} came from another set {}",
                       describe_set(known_.current->epoch, known_.current->nodes), owner,
                       last.epoch);
  }

  RepairDecision follow() {
    const Word& best = newest();
    const bool has_set = same_ && known_.current;
    if (has_set && known_.current->epoch >= best.acted.epoch) {
      const std::string other = find_other_line(
          known_.current->history,
          "the store's " + describe_set(known_.current->epoch, known_.current->nodes));
      if (!other.empty()) return doubt(advise(other));
      return keep();
    }
    model::History line = best.acted.history;
    if (line.find(best.acted.epoch) == nullptr) {
      line.changes = {{.epoch = best.acted.epoch, .id = best.acted.id}};
    }
    const std::string other = find_other_line(
        line, fmt::format("{}'s {}", best.node, describe_set(best.acted.epoch, best.acted.nodes)));
    if (!other.empty()) return doubt(advise(other));
    return write(best, best.acted.nodes, {{.epoch = best.acted.epoch, .id = best.acted.id}},
                 best.acted.epoch);
  }

  bool is_formatted() const {
    return std::ranges::any_of(known_.words, [](const Word& word) { return word.acted.formatted; });
  }

  // The set is right; whether the volume was formatted goes without one.
  RepairDecision keep() const {
    if (known_.volume->format == model::Format::Done || !is_formatted()) {
      return {.kind = Kind::Keep, .text = "kept: the store has the newest set"};
    }
    model::Volume volume = *known_.volume;
    volume.format = model::Format::Done;
    return {.kind = Kind::Write,
            .text = "recorded that its file system exists",
            .volume = std::move(volume),
            .set = store::next_set(*known_.current)};
  }

  // `history`: what led to the set, as far as nodes must find in it what they acted on.
  RepairDecision write(const Word& word, const std::set<std::string>& nodes,
                       std::vector<model::SetChange> history, std::uint64_t epoch) const {
    auto volume = record_of(word.acted);
    if (!volume && same_) volume = known_.volume;
    if (!volume) {
      return doubt(fmt::format(
          "the store does not know it, and {} kept no record of it: restore a newer backup",
          word.node));
    }
    if (is_formatted()) volume->format = model::Format::Done;
    model::Current set;
    set.epoch = epoch;
    set.nodes = nodes;
    set.history.changes = std::move(history);
    set = store::next_set(std::move(set));
    const std::string set_text = describe_set(set.epoch, set.nodes);
    return {.kind = Kind::Write,
            .text = fmt::format("{}{}, after {} acted on {}",
                                known_.volume ? "" : "recorded again, with ", set_text, word.node,
                                describe_set(word.acted.epoch, word.acted.nodes)),
            .volume = std::move(*volume),
            .set = std::move(set)};
  }

  // A new line, which is newer than all others: so each node that acted on one of those follows it.
  RepairDecision choose(const std::string& node) {
    const auto word = std::ranges::find_if(
        known_.words, [&](const Word& candidate) { return candidate.node == node; });
    if (word == known_.words.end()) {
      return doubt(node + " never acted on a set of this volume and cannot be chosen");
    }
    if (const std::string missing = find_missing(); !missing.empty()) return doubt(missing);
    same_ = known_.volume && known_.volume->id == word->acted.volume_id;
    std::uint64_t epoch = known_.current ? known_.current->epoch : 0;
    for (const Word& other : known_.words) epoch = std::max(epoch, other.acted.epoch);
    RepairDecision decision = write(*word, {node}, {}, epoch);
    if (decision.kind == Kind::Write) {
      decision.text = describe_set(decision.set.epoch, decision.set.nodes) +
                      ": chosen by --use; what only other replicas have is discarded";
    }
    return decision;
  }

  const VolumeKnowledge& known_;
  const RepairTerms& terms_;
  bool same_ = false;  // the store's volume is the one that was acted on
};

}  // namespace

std::string describe_set(std::uint64_t epoch, const std::set<std::string>& nodes) {
  return fmt::format("set {} {}", epoch, model::to_text(nodes));
}

RepairDecision decide_repair(const VolumeKnowledge& known, const RepairTerms& terms) {
  return Decider(known, terms).run();
}

}  // namespace plexvol::cluster
