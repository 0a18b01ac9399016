#include "agent/arbiter/arbiter.h"

#include "agent/model/codec.h"

namespace plexvol::arbiter {

namespace {
// Each lost race means that another change to this one key got in between: there are only a handful
// of writers.
constexpr int kMaxRaces = 20;
}  // namespace

Verdict Arbiter::take_out(const std::string& volume, const std::string& here,
                          const std::string& other) {
  for (int race = 0; race < kMaxRaces; ++race) {
    const auto seen = store_.find_current(volume);
    if (!seen) {
      throw Error(ErrorCode::NotFound, "volume " + volume + " has no current set in the store");
    }
    if (!seen->value.nodes.contains(here)) return Verdict::Lost;
    model::Current next = seen->value;
    next.nodes.erase(other);
    ++next.epoch;
    const std::string key = store::keys::current(volume);
    if (store_.commit(
            store::Change().require(key, seen->revision).put(key, model::to_json(next)))) {
      return Verdict::Won;
    }
  }
  throw Error(ErrorCode::Unavailable, "the current set of volume " + volume + " changed " +
                                          std::to_string(kMaxRaces) +
                                          " times while it was being decided");
}

bool Arbiter::put_back(const std::string& volume, std::int64_t seen_revision,
                       const std::string& node) {
  const auto seen = store_.find_current(volume);
  if (!seen || seen->revision != seen_revision) return false;
  model::Current next = seen->value;
  next.nodes.insert(node);
  ++next.epoch;
  const std::string key = store::keys::current(volume);
  return store_.commit(store::Change().require(key, seen_revision).put(key, model::to_json(next)));
}

}  // namespace plexvol::arbiter
