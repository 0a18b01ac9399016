#include "agent/arbiter/arbiter.h"

#include <ctime>
#include <utility>

#include "agent/log.h"
#include "agent/model/codec.h"

namespace plexvol::arbiter {

namespace {

// Each lost race means that another change to this one key got in between: there are only a handful
// of writers.
constexpr int kMaxRaces = 20;

std::string to_text(const std::set<std::string>& nodes) {
  std::string text = "{";
  for (const std::string& node : nodes) {
    if (text.size() > 1) text += ',';
    text += node;
  }
  return text += '}';
}

model::Current without(model::Current set, const std::string& node) {
  if (set.nodes.erase(node) > 0) set.left[node] = std::time(nullptr);
  ++set.epoch;
  return set;
}

void log_change(const std::string& volume, const model::Current& from, const model::Current& to,
                const std::string& reason) {
  std::string text = "current of " + volume + ": " + to_text(from.nodes);
  text += " -> " + to_text(to.nodes) + ", " + reason;
  log::warn(text, {{"volume", volume}, {"epoch", std::to_string(to.epoch)}});
}

}  // namespace

std::string to_text(const Counts& counts) {
  return std::to_string(counts.won) + " won, " + std::to_string(counts.lost) + " lost, " +
         std::to_string(counts.unanswered) + " without an answer of the store; put back " +
         std::to_string(counts.put_back) + ", too late " +
         std::to_string(counts.put_back_too_late) + "; forced " + std::to_string(counts.forced);
}

Verdict Arbiter::take_out(const std::string& volume, const std::string& asker,
                          const std::string& other, const std::string& reason) {
  try {
    const Verdict verdict = decide(volume, asker, other, reason);
    const std::lock_guard lock(mutex_);
    ++(verdict == Verdict::Won ? counts_.won : counts_.lost);
    return verdict;
  } catch (const Error&) {
    const std::lock_guard lock(mutex_);
    ++counts_.unanswered;
    throw;
  }
}

Verdict Arbiter::decide(const std::string& volume, const std::string& asker,
                        const std::string& other, const std::string& reason) {
  for (int race = 0; race < kMaxRaces; ++race) {
    const auto seen = store_.find_current(volume);
    if (!seen) {
      throw Error(ErrorCode::NotFound, "volume " + volume + " has no current set in the store");
    }
    const bool won = seen->value.nodes.contains(asker);
    const model::Current next = without(seen->value, won ? other : "");
    const std::string key = store::keys::current(volume);
    if (store_.commit(
            store::Change().require(key, seen->revision).put(key, model::to_json(next)))) {
      log_change(volume, seen->value, next, (won ? "won: " : "lost: ") + reason);
      return won ? Verdict::Won : Verdict::Lost;
    }
  }
  throw Error(ErrorCode::Unavailable, "the current set of volume " + volume + " changed " +
                                          std::to_string(kMaxRaces) +
                                          " times while it was being decided");
}

bool Arbiter::take_out_with(const std::string& volume, const store::Versioned<model::Current>& seen,
                            const std::string& other, const std::string& reason,
                            store::Change with) {
  const model::Current next = without(seen.value, other);
  const std::string key = store::keys::current(volume);
  const bool won = store_.commit(with.require(key, seen.revision).put(key, model::to_json(next)));
  if (won) log_change(volume, seen.value, next, "won: " + reason);
  const std::lock_guard lock(mutex_);
  ++(won ? counts_.won : counts_.lost);
  return won;
}

bool Arbiter::put_back(const std::string& volume, std::int64_t seen_revision,
                       const std::string& node) {
  const auto seen = store_.find_current(volume);
  bool done = false;
  if (seen && seen->revision == seen_revision) {
    model::Current next = seen->value;
    next.nodes.insert(node);
    next.left.erase(node);
    next.forced.reset();
    ++next.epoch;
    const std::string key = store::keys::current(volume);
    done =
        store_.commit(store::Change().require(key, seen_revision).put(key, model::to_json(next)));
    if (done) log_change(volume, seen->value, next, node + " is connected and UpToDate");
  }
  const std::lock_guard lock(mutex_);
  ++(done ? counts_.put_back : counts_.put_back_too_late);
  return done;
}

bool Arbiter::force(const std::string& volume, std::int64_t seen_revision,
                    const model::Current::Forced& forced, store::Change with) {
  const auto seen = store_.find_current(volume);
  if (!seen || seen->revision != seen_revision) return false;
  model::Current next = seen->value;
  for (const std::string& other : seen->value.nodes) next.left[other] = forced.at;
  next.left.erase(forced.node);
  next.nodes = {forced.node};
  next.forced = forced;
  next.last_forced = forced;
  ++next.epoch;
  const std::string key = store::keys::current(volume);
  const bool done = store_.commit(with.require(key, seen_revision).put(key, model::to_json(next)));
  if (done) log_change(volume, seen->value, next, "forced by " + forced.by);
  const std::lock_guard lock(mutex_);
  if (done) ++counts_.forced;
  return done;
}

bool Arbiter::use_forced(const std::string& volume, std::int64_t seen_revision) {
  const auto seen = store_.find_current(volume);
  if (!seen || seen->revision != seen_revision || !seen->value.forced) return false;
  model::Current next = seen->value;
  next.forced->disk_state.clear();
  ++next.epoch;
  const std::string key = store::keys::current(volume);
  const bool done =
      store_.commit(store::Change().require(key, seen_revision).put(key, model::to_json(next)));
  if (done) log_change(volume, seen->value, next, "the forced copy is attached");
  return done;
}

Arbiter::Question::Question(Arbiter& arbiter, std::string volume)
    : arbiter_(arbiter), volume_(std::move(volume)) {
  const std::lock_guard lock(arbiter_.mutex_);
  ++arbiter_.questions_[volume_];
}

Arbiter::Question::~Question() {
  const std::lock_guard lock(arbiter_.mutex_);
  if (--arbiter_.questions_[volume_] == 0) arbiter_.questions_.erase(volume_);
}

bool Arbiter::is_asked_about(const std::string& volume) const {
  const std::lock_guard lock(mutex_);
  return questions_.contains(volume);
}

Counts Arbiter::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace plexvol::arbiter
