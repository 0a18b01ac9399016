// Carries out the actions that a pass has planned.
#pragma once

#include <string>
#include <vector>

#include "agent/reconcile/plan.h"
#include "agent/reconcile/shared.h"

namespace plexvol::reconcile {

// What the actions of a pass left for the rest of it to go by.
struct Effects {
  std::string note;             // for people, beside all that went well
  bool backing_known = false;   // what was seen of backing devices is still so
  bool peer_is_stuck = false;   // it was to be replaced, and could not be
  bool put_back = false;        // the peer was, into the set
  bool forgot_replica = false;  // the copy here was removed
};

// For one pass.
class Executor {
 public:
  // `shared` and `volume` must outlive it.
  Executor(Shared& shared, const std::string& volume) : shared_(shared), volume_(volume) {}

  // In their order, up to LookAgain. Writes into `wanted` and `seen` what the actions made of them.
  // Throws Error when one of them fails; those after it are not begun.
  void run(const std::vector<Action>& actions, Wanted& wanted, Seen& seen);
  const Effects& effects() const { return effects_; }

 private:
  void run_one(const Action& action, Wanted& wanted, Seen& seen);
  void connect_again(const Wanted& wanted, Seen& seen);
  void grow(const Action& action, Wanted& wanted, Seen& seen);
  void change_copies(const Action& action, const Wanted& wanted, Seen& seen);
  void replace(const Wanted& wanted);

  Shared& shared_;
  const std::string& volume_;
  Effects effects_;
};

}  // namespace plexvol::reconcile
