// Who may go on alone. The transactions on current/<volume>, and nothing else.
//
// DRBD itself never decides: a primary that loses its peer is frozen by the kernel until `take_out`
// was won, and nothing is promoted without its peer before that. Both sides compete for one key, so
// at most one of them ever wins (design, section 6).
#pragma once

#include <cstdint>
#include <string>

#include "agent/store/typed_store.h"

namespace plexvol::arbiter {

enum class Verdict { Won, Lost };

class Arbiter {
 public:
  explicit Arbiter(store::TypedStore& store) : store_(store) {}

  // "If `here` is still in the set, take `other` out of it." Every win raises the epoch, also one
  // that leaves the set as it was (rule 2). May be asked any number of times. Throws Unavailable
  // when the store gives no answer: nobody has won then.
  Verdict take_out(const std::string& volume, const std::string& here, const std::string& other);

  // Puts `node` back, provided that nothing at all has happened to the set since `seen_revision`
  // was read, which must have been before the two were seen connected and UpToDate (rule 2). false:
  // something has; look again.
  bool put_back(const std::string& volume, std::int64_t seen_revision, const std::string& node);

 private:
  store::TypedStore& store_;
};

}  // namespace plexvol::arbiter
