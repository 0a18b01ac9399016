// Who may go on alone. The transactions on current/<volume>, with its history, and nothing else.
//
// DRBD itself never decides: a primary that loses its peer is frozen by the kernel until `take_out`
// was won, and nothing is promoted without its peer before that. Both sides compete for one key, so
// at most one of them ever wins (README.md). The steps are checked as a model by
// tests/model/arbiter.pml; sequences.txt beside it has the actions of both.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "agent/store/acted.h"
#include "agent/store/typed_store.h"

namespace plexvol::arbiter {

enum class Verdict { Won, Lost };

// Since the agent's start.
struct Counts {
  std::uint64_t won = 0;
  std::uint64_t lost = 0;
  std::uint64_t put_back = 0;
  std::uint64_t put_back_too_late = 0;
  std::uint64_t unanswered = 0;  // the store gave no answer
  std::uint64_t forced = 0;
};

std::string to_text(const Counts& counts);

class Arbiter {
 public:
  Arbiter(store::TypedStore& store, store::ActedSets& acted) : store_(store), acted_(acted) {}

  // What this node acted on; the caller that acts on a set records it there first.
  store::ActedSets& acted() { return acted_; }

  // The kernel's own question, which knows of no earlier look, on the set as it is: "if `asker` is
  // still in the set, take `other` out of it." Every answer raises the epoch, also
  // "lost", and one that leaves the set as it was (arbiter rule 2): so no look at the two that was
  // taken before it can put anybody back after it. May be asked any number of times. Throws
  // Unavailable when the store gives no answer, and Conflict when the store is older than what this
  // node acted on: nobody has won then. A set that was won by is recorded as acted on. `reason` is
  // for the log.
  Verdict take_out(const model::Volume& volume, const std::string& asker, const std::string& other,
                   const std::string& reason);

  // Takes `other` out of the very set that a decision was made on, which the asker was seen to be
  // in, together with what else is to happen then. It raises the epoch also when `other` is out
  // already. A node whose own disk has failed asks in its peer's name, with itself as `other`: so
  // the set never becomes empty. false: the set, or anything that `with` requires, has changed, and
  // nothing was done.
  bool take_out_with(const std::string& volume, const store::Versioned<model::Current>& seen,
                     const std::string& other, const std::string& reason, store::Change with);

  // Puts `node` back, provided that nothing at all has happened to the set since `seen_revision`
  // was read, which must have been before the two were seen connected and UpToDate (arbiter rule
  // 2). false: something has; look again.
  bool put_back(const std::string& volume, std::int64_t seen_revision, const std::string& node);

  // A person's decision: from now on only the copy on `node` counts. false: something has happened
  // to the set since `seen_revision` was read, so it may not be needed any more; look again.
  // `with`: what has to be written in the same transaction.
  bool force(const std::string& volume, std::int64_t seen_revision,
             const model::Current::Forced& forced, store::Change with = {});

  // Takes the word of the user who chose a copy though it had no disk: from now on it is as if it
  // had had one. false: something has happened to the set since `seen_revision` was read.
  bool use_forced(const std::string& volume, std::int64_t seen_revision);

  // While it lives, the kernel's own question about a volume is being answered here.
  class Question {
   public:
    Question(Arbiter& arbiter, std::string volume);
    ~Question();
    Question(const Question&) = delete;
    Question& operator=(const Question&) = delete;

   private:
    Arbiter& arbiter_;
    std::string volume_;
  };
  bool is_asked_about(const std::string& volume) const;

  Counts counts() const;

 private:
  Verdict decide(const model::Volume& volume, const std::string& asker, const std::string& other,
                 const std::string& reason);
  bool commit(const std::string& volume, std::int64_t seen_revision, const model::Current& next,
              store::Change with = {});

  store::TypedStore& store_;
  store::ActedSets& acted_;
  mutable std::mutex mutex_;
  std::map<std::string, unsigned> questions_;
  Counts counts_;
};

}  // namespace plexvol::arbiter
