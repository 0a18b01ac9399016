#include "agent/store/sets.h"

#include <cstddef>

#include "agent/api/random.h"
#include "agent/base/fingerprint.h"
#include "agent/model/codec.h"

namespace plexvol::store {

namespace {

// Of a set whose change nobody wrote down, since an agent of 0.1.0 made it. All nodes derive the
// same one from the record.
std::string derive_id(const std::string& record) {
  return "derived-" + base::fingerprint(record);
}

}  // namespace

std::optional<Versioned<model::Current>> to_set(const std::optional<Entry>& current,
                                                const std::optional<Entry>& history) {
  if (!current) return std::nullopt;
  Versioned<model::Current> set{read_record<model::Current>(*current), current->revision};
  model::Current& value = set.value;
  if (history) value.history = read_record<model::History>(*history);
  auto& changes = value.history.changes;
  // Of a former volume of this name, which an agent of 0.1.0 removed and made again.
  if (!changes.empty() && changes.back().epoch > value.epoch) changes.clear();
  if (changes.empty() || changes.back().epoch < value.epoch) {
    changes.push_back({.epoch = value.epoch, .id = derive_id(current->value)});
  }
  return set;
}

void put_set(const std::string& volume, const model::Current& set, Change& change) {
  change.put(keys::current(volume), model::to_json(set))
      .put(keys::history(volume), model::to_json(set.history));
}

model::Current next_set(model::Current set) {
  constexpr std::size_t kIdDigits = 16;
  ++set.epoch;
  auto& changes = set.history.changes;
  changes.push_back({.epoch = set.epoch, .id = random_hex(kIdDigits)});
  if (changes.size() > model::kMaxHistory) {
    changes.erase(changes.begin(), changes.end() - static_cast<std::ptrdiff_t>(model::kMaxHistory));
  }
  return set;
}

}  // namespace plexvol::store
