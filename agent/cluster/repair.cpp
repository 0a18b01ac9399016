#include "agent/cluster/repair.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "agent/api/text.h"
#include "agent/cluster/repair_plan.h"
#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/store/sets.h"

namespace plexvol::cluster {

namespace {

namespace keys = store::keys;
using Turned = store::Versioned<model::RolledBack>;
using Kind = RepairDecision::Kind;

struct Subject {
  VolumeKnowledge known;
  std::int64_t volume_revision = 0;
  std::int64_t current_revision = 0;
  std::string unreadable;
};
using Subjects = std::map<std::string, Subject>;

// The nodes that have said all they know since the store was rolled back.
std::set<std::string> list_answered(const Turned& turned, store::Store& store) {
  std::set<std::string> nodes;
  const std::string prefix = keys::acted_all("");
  for (const store::Entry& entry : store.list(prefix)) {
    if (entry.value != std::to_string(turned.revision)) continue;
    nodes.insert(entry.key.substr(prefix.size()));
  }
  return nodes;
}

void add_stored(store::TypedStore& store, Subjects& subjects) {
  const auto volumes = store.read_volumes();
  for (const auto& [name, record] : volumes.records) {
    Subject& subject = subjects[name];
    const auto volume = store.find_volume(name);
    if (!volume) continue;  // deleted in between
    subject.known.volume = volume->value;
    subject.volume_revision = volume->revision;
    if (const auto current = store.find_current(name)) {
      subject.known.current = current->value;
      subject.current_revision = current->revision;
    }
  }
  for (const store::Unreadable& unreadable : volumes.unreadable) {
    subjects[unreadable.name].unreadable = unreadable.why;
  }
}

void add_words(const std::set<std::string>& nodes, store::Store& store, Subjects& subjects) {
  for (const std::string& node : nodes) {
    for (const store::Entry& entry : store.list(keys::acted_prefix(node))) {
      auto acted = store::read_record<model::Acted>(entry);
      Subject& subject = subjects[acted.volume];
      subject.known.words.push_back({.node = node, .acted = std::move(acted)});
    }
  }
}

api::RepairVolume describe(const Subject& subject, const RepairTerms& terms) {
  const VolumeKnowledge& known = subject.known;
  api::RepairVolume shown{
      .name = known.name,
      .store = known.current ? describe_set(known.current->epoch, known.current->nodes) : "unknown",
      .nodes = {},
      .action = "",
      .in_doubt = false};
  std::set<std::string> silent =
      known.volume ? known.volume->concerned_nodes() : std::set<std::string>();
  for (const Word& word : known.words) {
    silent.insert(word.acted.nodes.begin(), word.acted.nodes.end());
    shown.nodes.push_back(
        fmt::format("{} acted on {}", word.node, describe_set(word.acted.epoch, word.acted.nodes)));
  }
  for (const std::string& node : silent) {
    if (!terms.answered.contains(node)) shown.nodes.push_back(node + " has not answered");
  }
  return shown;
}

// "" when it is written; else why not.
std::string write(const Subject& subject, const RepairDecision& decision, const Turned& turned,
                  store::TypedStore& store) {
  const std::string& name = subject.known.name;
  const model::Volume& volume = decision.volume;
  store::Change change;
  // Who names the key may change sets while it is there.
  change.require(keys::rolled_back(), turned.revision)
      .require(keys::volume(name), subject.volume_revision)
      .require(keys::current(name), subject.current_revision)
      .put(keys::volume(name), model::to_json(volume))
      .wake(volume);
  store::put_set(name, decision.set, change);
  if (const auto number = volume.slot()) {
    const std::string slot = keys::slot(*number);
    const auto owner = store.raw().get(slot);
    if (owner && owner->value != name) {
      return fmt::format("DRBD minor {} now belongs to another volume: {}", volume.minor,
                         owner->value);
    }
    change.require(slot, owner ? owner->revision : 0).put(slot, name);
  }
  if (subject.known.volume) {
    const auto concerned = volume.concerned_nodes();
    for (const std::string& node : subject.known.volume->concerned_nodes()) {
      if (concerned.contains(node)) continue;
      change.remove(keys::assigned(node, name)).remove(keys::status(node, name));
    }
  }
  return store.commit(change) ? "" : "changed concurrently: run this again";
}

RepairTerms to_terms(const api::RepairRequest& request, std::set<std::string> answered) {
  RepairTerms terms{.answered = std::move(answered),
                    .without = {request.without.begin(), request.without.end()},
                    .use = {}};
  for (const auto& choice : request.use) terms.use[choice.volume] = choice.node;
  if (!terms.use.empty() && !request.accept_data_loss) {
    throw Error(ErrorCode::InvalidArgument,
                "--use permanently discards data that only other replicas have; nothing was "
                "changed: add --i-accept-data-loss to do it");
  }
  return terms;
}

}  // namespace

// Only with all that is read at the time: may be asked again after each failure.
api::RepairReply repair(store::TypedStore& store, const api::RepairRequest& request) {
  const auto turned = store.find_rolled_back();
  if (!turned) return {.rolled_back = "", .volumes = {}, .applied = false, .done = true};
  const auto answered = list_answered(*turned, store.raw());
  const RepairTerms terms = to_terms(request, answered);
  Subjects subjects;
  add_stored(store, subjects);
  add_words(answered, store.raw(), subjects);
  for (const auto& [volume, node] : terms.use) {
    if (!subjects.contains(volume)) {
      throw Error(ErrorCode::NotFound,
                  fmt::format("volume {}: neither the store nor a node that has answered knows it",
                              volume));
    }
  }
  api::RepairReply reply{
      .rolled_back = fmt::format("{} saw at {}: {}", turned->value.node,
                                 time_to_text(turned->value.at), turned->value.what),
      .volumes = {},
      .applied = request.apply,
      .done = false};
  for (auto& [name, subject] : subjects) {
    subject.known.name = name;
    api::RepairVolume shown = describe(subject, terms);
    RepairDecision decision = decide_repair(subject.known, terms);
    if (!subject.unreadable.empty()) {
      decision = {.kind = Kind::Doubt, .text = subject.unreadable};
    }
    if (request.apply && decision.kind == Kind::Write) {
      const std::string why = write(subject, decision, *turned, store);
      if (why.empty()) log::warn(fmt::format("repaired {}: {}", name, decision.text));
      if (!why.empty()) decision = {.kind = Kind::Doubt, .text = why};
    }
    shown.action = decision.text;
    shown.in_doubt = decision.kind == Kind::Doubt;
    reply.volumes.push_back(std::move(shown));
  }
  const bool in_doubt = std::ranges::any_of(
      reply.volumes, [](const api::RepairVolume& volume) { return volume.in_doubt; });
  if (request.apply && !in_doubt) {
    reply.done = store.commit(
        store::Change().require(keys::rolled_back(), turned->revision).remove(keys::rolled_back()));
  }
  return reply;
}

}  // namespace plexvol::cluster
