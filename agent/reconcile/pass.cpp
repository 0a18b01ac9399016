#include "agent/reconcile/pass.h"

#include <fmt/core.h>

#include <utility>

#include "agent/base/text.h"
#include "agent/log.h"
#include "agent/reconcile/apply.h"
#include "agent/reconcile/observe.h"

namespace plexvol::reconcile {

namespace {

// A pass that has not settled after this many rounds goes back to the queue, so that other volumes
// get their turn. None needs as many: what has no effect is done again and again.
constexpr int kMaxRounds = 12;

std::string list(const std::vector<Action>& actions) {
  std::vector<std::string> texts;
  texts.reserve(actions.size());
  for (const Action& action : actions) texts.push_back(to_text(action));
  return base::join(texts, "; ");
}

}  // namespace

PassResult Pass::result() const {
  return {.volume = volume_,
          .loaded = loaded_,
          .seen = seen_,
          .effects = executor_.effects(),
          .only_arbitrated = only_arbitrated_};
}

Outcome Pass::run() {
  std::optional<Error> error;
  try {
    if (!settle()) return Outcome::Settled;
  } catch (const Error& thrown) {
    error = thrown;
  } catch (const std::exception& thrown) {
    error = Error(ErrorCode::Internal, thrown.what());
  }
  if (!error && rounds_left_ == 0) {
    error = Error(
        ErrorCode::Unavailable,
        fmt::format(
            "volume {}: not in the wanted state after {} rounds; the last round did: {}; retrying",
            volume_, kMaxRounds, last_round_));
  }
  PassResult ended = result();
  ended.error = error;
  error = report(ended, shared_);
  if (!error) return Outcome::Settled;
  return error->code() == ErrorCode::Unavailable ? Outcome::TrySoon : Outcome::TryLater;
}

Outcome Pass::arbitrate() {
  try {
    if (load()) settle_arbitration();
    wake_former(result(), shared_);
  } catch (const std::exception& error) {
    log::info(error.what());
    return Outcome::TrySoon;
  }
  return rounds_left_ > 0 ? Outcome::Settled : Outcome::TrySoon;
}

bool Pass::is_at_rest(const store::VolumeView& ahead) {
  const std::string& here = shared_.settings.here;
  if (!ahead.volume || !ahead.volume->value.concerns(here) || !may_be_at_rest(ahead) ||
      shared_.tools.jobs.find_running(volume_)) {
    return false;
  }
  try {
    if (!is_recorded(ahead)) return false;
    loaded_ = loader_.interpret(ahead, "");
    seen_.refused_release = ahead.status->refused_release;
    if (!look_and_plan(true).empty() || loaded_->status != make_status(result(), shared_)) {
      return false;
    }
  } catch (const std::exception&) {
    return false;
  }
  record_seen(result(), shared_);
  return true;
}

// What a look could find at rest has this in its status: else the look would be for nothing.
bool Pass::may_be_at_rest(const store::VolumeView& ahead) const {
  const std::int64_t attached = ahead.attachment ? ahead.attachment->revision : 0;
  return ahead.status && ahead.status->session == shared_.settings.session &&
         ahead.status->attachment_revision == attached && ahead.status->error.empty();
}

bool Pass::is_recorded(const store::VolumeView& view) {
  store::ActedSets& acted = shared_.tools.arbiter.acted();
  const model::Volume& volume = view.volume->value;
  if (!view.current) return !acted.find(volume.id);
  return acted.knows_all(volume, view.current->value);
}

// False: this volume is none of ours (any more).
bool Pass::load() {
  const bool is_first = !loaded_;
  loaded_ = loader_.load(loaded_);
  if (!loaded_) return false;
  if (is_first && loaded_->status) seen_.refused_release = loaded_->status->refused_release;
  return true;
}

// What must not wait for a job or a free worker.
void Pass::settle_arbitration() {
  for (rounds_left_ = kMaxRounds; rounds_left_ > 0; --rounds_left_) {
    const Wanted& wanted = loaded_->wanted;
    observe_for_arbitration(wanted, shared_.tools, seen_);
    seen_.question_time_over =
        shared_.memory.is_frozen(wanted, seen_, shared_.settings.question_time);
    seen_.question_under_way = shared_.tools.arbiter.is_asked_about(volume_);
    const std::vector<Action> actions = plan_arbitration(wanted, seen_);
    if (actions.empty()) return;
    execute(actions);
    if (!load()) return;
  }
}

// False: this volume is none of ours (any more).
bool Pass::settle() {
  bool backing_known = false;
  bool looked_as_staying = false;
  for (rounds_left_ = kMaxRounds; rounds_left_ > 0; --rounds_left_) {
    if (!load()) return false;
    if (const auto job = shared_.tools.jobs.find_running(volume_)) {
      only_arbitrated_ = true;
      settle_arbitration();
      throw Error(ErrorCode::Unavailable, fmt::format("volume {}: {}", volume_, *job));
    }
    record_set();
    withdraw_loss();
    const Wanted& wanted = loaded_->wanted;
    // What is to be removed from now on must say again that it is ours.
    const bool look_at_backing = !backing_known || looked_as_staying != copy_stays(wanted);
    looked_as_staying = copy_stays(wanted);
    const std::vector<Action> actions = look_and_plan(look_at_backing);
    shared_.tools.jobs.drop_ended(volume_, find_job(actions, wanted, seen_));
    if (actions.empty()) return true;
    if (rounds_left_ == 1) last_round_ = list(actions);
    execute(actions);
    backing_known = executor_.effects().backing_known;
  }
  return true;
}

void Pass::execute(const std::vector<Action>& actions) {
  executor_.run(actions, loaded_->wanted, seen_);
  if (executor_.effects().peer_is_stuck) loader_.keep_peer();
}

// The copy whose disk was lost is to be made anew: what was said of it would count against this
// one for as long as its making takes.
void Pass::withdraw_loss() {
  const model::Volume& volume = loaded_->wanted.volume;
  std::optional<model::Status>& status = loaded_->status;
  const model::Replica* replica = volume.find_replica(shared_.settings.here);
  if (!status || !status->backing_gone || replica == nullptr || replica->made) return;
  status->backing_gone = false;
  status->error.clear();
  shared_.tools.store.put_status(shared_.settings.here, volume, loaded_->assigned, *status);
}

// As soon as it is seen, so that as much as possible is known when the store is rolled back. What
// cannot be recorded keeps only that from being done which acts on it.
void Pass::record_set() {
  const Wanted& wanted = loaded_->wanted;
  if (!wanted.contradiction.empty() || !wanted.current) return;
  try {
    store::ActedSets& acted = shared_.tools.arbiter.acted();
    if (!acted.knows_set(wanted.volume, *wanted.current)) {
      acted.record(wanted.volume, *wanted.current);
    }
  } catch (const Error& error) {
    log::warn(error.what());
  }
}

std::vector<Action> Pass::look_and_plan(bool look_at_backing) {
  const Wanted& wanted = loaded_->wanted;
  const Tools& tools = shared_.tools;
  const ReconcilerSettings& settings = shared_.settings;
  look_at_backing ? observe_resource_and_backing(wanted, tools, seen_)
                  : observe_resource(wanted, tools, seen_);
  observe_device(wanted, tools, seen_);
  observe_use(wanted, tools, seen_);
  seen_.connect_time_over = shared_.memory.waits_for_peer(wanted, seen_, settings.connect_time);
  seen_.apart_time_over = shared_.memory.is_apart(
      wanted, seen_,
      wanted.peer_fate == PeerFate::Gone ? settings.rebuild_time : settings.connect_time);
  seen_.question_time_over = shared_.memory.is_frozen(wanted, seen_, settings.question_time);
  seen_.question_under_way = tools.arbiter.is_asked_about(volume_);
  return plan(wanted, seen_);
}

}  // namespace plexvol::reconcile
