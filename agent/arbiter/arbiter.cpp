#include "agent/arbiter/arbiter.h"

#include <fmt/core.h>

#include <ctime>
#include <utility>

#include "agent/log.h"
#include "agent/store/sets.h"

namespace plexvol::arbiter {

namespace {

// Each lost race means that another change to this one key got in between: there are only a handful
// of writers.
constexpr int kMaxRaces = 20;

model::Current without(model::Current set, const std::string& node) {
  if (set.nodes.erase(node) > 0) set.left[node] = std::time(nullptr);
  return store::next_set(std::move(set));
}

void log_change(const std::string& volume, const model::Current& from, const model::Current& to,
                const std::string& reason) {
  log::warn(fmt::format("current of {}: {} -> {}, {}", volume, model::to_text(from.nodes),
                        model::to_text(to.nodes), reason),
            {{"volume", volume}, {"epoch", std::to_string(to.epoch)}});
}

}  // namespace

std::string to_text(const Counts& counts) {
  return fmt::format(
      "{} won, {} lost, {} without an answer from the store; put back {}, too late {}; forced {}",
      counts.won, counts.lost, counts.unanswered, counts.put_back, counts.put_back_too_late,
      counts.forced);
}

Verdict Arbiter::take_out(const model::Volume& volume, const std::string& asker,
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

Verdict Arbiter::decide(const model::Volume& volume, const std::string& asker,
                        const std::string& other, const std::string& reason) {
  const std::string& name = volume.name;
  for (int race = 0; race < kMaxRaces; ++race) {
    const auto acted = acted_.find(volume.id);  // before the store is read, which must have it then
    const auto seen = store_.find_current(name);
    if (!seen) {
      throw Error(ErrorCode::NotFound,
                  fmt::format("volume {} has no current set in the store", name));
    }
    if (acted) store::require_no_contradiction(*acted, volume, seen->value);
    const bool won = seen->value.nodes.contains(asker);
    const model::Current next = without(seen->value, won ? other : "");
    if (commit(name, seen->revision, next)) {
      log_change(name, seen->value, next, (won ? "won: " : "lost: ") + reason);
      if (won) acted_.record(volume, next);
      return won ? Verdict::Won : Verdict::Lost;
    }
  }
  throw Error(
      ErrorCode::Unavailable,
      fmt::format("the current set of volume {} changed {} times while it was being decided", name,
                  kMaxRaces));
}

bool Arbiter::commit(const std::string& volume, std::int64_t seen_revision,
                     const model::Current& next, store::Change with) {
  with.require(store::keys::current(volume), seen_revision);
  store::put_set(volume, next, with);
  return store_.commit(with);
}

bool Arbiter::take_out_with(const std::string& volume, const store::Versioned<model::Current>& seen,
                            const std::string& other, const std::string& reason,
                            store::Change with) {
  const model::Current next = without(seen.value, other);
  const bool won = commit(volume, seen.revision, next, std::move(with));
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
    model::Current next = store::next_set(seen->value);
    next.nodes.insert(node);
    next.left.erase(node);
    next.forced.reset();
    done = commit(volume, seen_revision, next);
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
  model::Current next = store::next_set(seen->value);
  for (const std::string& other : seen->value.nodes) next.left[other] = forced.at;
  next.left.erase(forced.node);
  next.nodes = {forced.node};
  next.forced = forced;
  next.last_forced = forced;
  const bool done = commit(volume, seen_revision, next, std::move(with));
  if (done) log_change(volume, seen->value, next, "forced by " + forced.by);
  const std::lock_guard lock(mutex_);
  if (done) ++counts_.forced;
  return done;
}

bool Arbiter::use_forced(const std::string& volume, std::int64_t seen_revision) {
  const auto seen = store_.find_current(volume);
  if (!seen || seen->revision != seen_revision || !seen->value.forced) return false;
  model::Current next = store::next_set(seen->value);
  next.forced->disk_state.clear();
  const bool done = commit(volume, seen_revision, next);
  if (done) log_change(volume, seen->value, next, "the forced replica is attached");
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
