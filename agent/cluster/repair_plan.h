// What is made of a volume after the store was rolled back. Pure: what the store says and what the
// nodes acted on go in, a decision comes out.
//
// The set that was acted on last counts, provided that every node that may know a newer one has
// answered, and that every other set that was acted on led to this one. Otherwise the volume is in
// doubt: two replicas may each hold writes that the other lacks, and an administrator has to
// choose.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/model/model.h"
#include "agent/store/typed_store.h"

namespace plexvol::cluster {

struct Word {  // of a node, of one volume
  std::string node;
  model::Acted acted;
};

struct VolumeKnowledge {
  std::string name;
  std::optional<model::Volume> volume;    // as the store has it
  std::optional<model::Current> current;  // with its history
  std::vector<Word> words;
};

struct RepairTerms {
  std::set<std::string> answered;  // nodes that have said all they know
  std::set<std::string> without;   // nodes that need not answer, by an administrator's word
  std::map<std::string, std::string>
      use;  // by volume: the node of the replica that an administrator chose
};

struct RepairDecision {
  enum class Kind { Keep, Write, Doubt };
  Kind kind = Kind::Keep;
  std::string text;  // what is done, or why nothing is
  // For Write, with its history: what the store is to say.
  model::Volume volume = {};
  model::Current set = {};
};

RepairDecision decide_repair(const VolumeKnowledge& known, const RepairTerms& terms);

// "set 6 {n1,n2}"
std::string describe_set(std::uint64_t epoch, const std::set<std::string>& nodes);

}  // namespace plexvol::cluster
