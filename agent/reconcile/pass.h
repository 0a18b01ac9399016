// One volume's way through load, look, plan and apply.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/reconcile/executor.h"
#include "agent/reconcile/load.h"
#include "agent/reconcile/report.h"
#include "agent/reconcile/shared.h"

namespace plexvol::reconcile {

enum class Outcome {
  Settled,   // nothing left to do until something changes
  TrySoon,   // waits for another node or for the kernel
  TryLater,  // failed, or waits for a person
};

// One of run(), arbitrate() and is_at_rest() is called, once. None of them throws.
class Pass {
 public:
  // Both must outlive it.
  Pass(Shared& shared, const std::string& volume)
      : shared_(shared), volume_(volume), loader_(shared, volume), executor_(shared, volume) {}
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  // See Reconciler for both.
  Outcome run();
  Outcome arbitrate();
  // True: the volume was seen to be as it was wanted `ahead`, and the store knows what was seen.
  bool is_at_rest(const store::VolumeView& ahead);

 private:
  bool load();
  bool settle();
  void settle_arbitration();
  void withdraw_loss();
  void record_set();
  std::vector<Action> look_and_plan(bool look_at_backing);
  void execute(const std::vector<Action>& actions);
  bool may_be_at_rest(const store::VolumeView& ahead) const;
  bool is_recorded(const store::VolumeView& view);
  PassResult result() const;

  Shared& shared_;
  const std::string& volume_;
  Loader loader_;
  Executor executor_;
  std::optional<Loaded> loaded_;
  Seen seen_;
  int rounds_left_ = 0;
  std::string last_round_;  // what was done when no round was left
  bool only_arbitrated_ = false;
};

}  // namespace plexvol::reconcile
