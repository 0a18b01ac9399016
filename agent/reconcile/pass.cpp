// One volume's way through load, look, plan and apply.
#include <algorithm>
#include <optional>
#include <utility>

#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/reconcile/apply.h"
#include "agent/reconcile/observe.h"
#include "agent/reconcile/other_nodes.h"
#include "agent/reconcile/reconciler.h"
#include "agent/reconcile/replace.h"

namespace plexvol::reconcile {

namespace {

// A pass that has not settled after this many rounds goes back to the queue, so that other volumes
// get their turn.
constexpr int kMaxRounds = 12;

// Not for reporting an error: those that want the device prepared wait for it. Nor is this one of
// theirs.
bool concerns_mount_calls(const Wanted& wanted) {
  return wanted.attached_here() || wanted.volume.deleting || !wanted.volume.concerns(wanted.here);
}

}  // namespace

class Reconciler::Pass {
 public:
  Pass(Reconciler& owner, const std::string& volume)
      : owner_(owner), tools_(owner.tools_), volume_(volume) {}

  Outcome run() {
    try {
      if (!settle()) return Outcome::Settled;
    } catch (const Error& error) {
      error_ = error;
    } catch (const std::exception& error) {
      error_ = Error(ErrorCode::Internal, error.what());
    }
    report();
    if (!error_) return rounds_left_ > 0 ? Outcome::Settled : Outcome::TrySoon;
    return error_->code() == ErrorCode::Unavailable ? Outcome::TrySoon : Outcome::TryLater;
  }

  Outcome arbitrate() {
    try {
      if (load()) settle_arbitration();
      wake_former();
    } catch (const std::exception& error) {
      log::info(error.what());
      return Outcome::TrySoon;
    }
    return rounds_left_ > 0 ? Outcome::Settled : Outcome::TrySoon;
  }

  // True: the volume was seen to be as it was wanted `ahead`, and the store knows what was seen.
  bool is_at_rest(const store::VolumeView& ahead) {
    const std::string& here = owner_.settings_.here;
    if (!ahead.volume || !ahead.volume->value.concerns(here) || !may_be_at_rest(ahead) ||
        tools_.jobs.find_running(volume_)) {
      return false;
    }
    try {
      if (!is_recorded(ahead)) return false;
      accept(ahead, "");
      if (!look_and_plan(true).empty() || status_ != make_status()) return false;
    } catch (const std::exception&) {
      return false;
    }
    note_seen();
    return true;
  }

 private:
  // What must not wait for a job or a free worker.
  void settle_arbitration() {
    for (rounds_left_ = kMaxRounds; rounds_left_ > 0; --rounds_left_) {
      observe_for_arbitration(*wanted_, tools_, seen_);
      seen_.question_time_over = owner_.question_time_over(*wanted_, seen_);
      seen_.question_under_way = tools_.arbiter.is_asked_about(volume_);
      const std::vector<Action> actions = plan_arbitration(*wanted_, seen_);
      if (actions.empty()) return;
      perform(actions);
      if (!load()) return;
    }
  }

  // False: this volume is none of ours (any more).
  bool settle() {
    bool backing_known = false;
    bool looked_as_staying = false;
    for (rounds_left_ = kMaxRounds; rounds_left_ > 0; --rounds_left_) {
      if (!load()) return false;
      if (const auto job = tools_.jobs.find_running(volume_)) {
        only_arbitrated_ = true;
        settle_arbitration();
        throw Error(ErrorCode::Unavailable, "volume " + volume_ + ": " + *job);
      }
      record_seen();
      withdraw_loss();
      // What is to be removed from now on must say again that it is ours.
      const bool look_at_backing = !backing_known || looked_as_staying != copy_stays(*wanted_);
      looked_as_staying = copy_stays(*wanted_);
      const std::vector<Action> actions = look_and_plan(look_at_backing);
      tools_.jobs.drop_ended(volume_, find_job(actions, *wanted_, seen_));
      if (actions.empty()) return true;
      backing_known = perform(actions);
    }
    return true;
  }

  // The copy whose disk was lost is to be made anew: what was said of it would count against this
  // one for as long as its making takes.
  void withdraw_loss() {
    const model::Replica* replica = wanted_->volume.find_replica(owner_.settings_.here);
    if (!status_ || !status_->backing_gone || replica == nullptr || replica->made) return;
    status_->backing_gone = false;
    status_->error.clear();
    tools_.store.put_status(owner_.settings_.here, wanted_->volume, assigned_, *status_);
  }

  // What a look could find at rest has this in its status: else the look would be for nothing.
  bool may_be_at_rest(const store::VolumeView& ahead) const {
    const std::int64_t attached = ahead.attachment ? ahead.attachment->revision : 0;
    return ahead.status && ahead.status->session == owner_.settings_.session &&
           ahead.status->attachment_revision == attached && ahead.status->error.empty();
  }

  std::vector<Action> look_and_plan(bool look_at_backing) {
    look_at_backing ? observe_resource_and_backing(*wanted_, tools_, seen_)
                    : observe_resource(*wanted_, tools_, seen_);
    observe_device(*wanted_, tools_, seen_);
    observe_use(*wanted_, tools_, seen_);
    seen_.connect_time_over = owner_.connect_time_over(*wanted_, seen_);
    seen_.apart_time_over = owner_.apart_time_over(*wanted_, seen_);
    seen_.question_time_over = owner_.question_time_over(*wanted_, seen_);
    seen_.question_under_way = tools_.arbiter.is_asked_about(volume_);
    return plan(*wanted_, seen_);
  }

  bool load() {
    const std::string& here = owner_.settings_.here;
    store::VolumeView view = tools_.store.view_volume(volume_, here);
    const std::string contradiction = find_contradiction(view);
    if (view.volume && !view.volume->value.concerns(here) &&
        tools_.drbd.has_config_of(volume_, view.volume->value.secret)) {
      if (!contradiction.empty()) throw Error(ErrorCode::Conflict, contradiction);
      tell_of_return(*view.volume);
      view = tools_.store.view_volume(volume_, here);
    }
    if (!view.volume || !view.volume->value.concerns(here)) {
      wanted_.reset();
      owner_.forget(volume_);
      return false;
    }
    // What was seen and made in this pass was another's.
    if (wanted_ && wanted_->volume.id != view.volume->value.id) {
      throw Error(ErrorCode::Unavailable, "volume " + volume_ + " was replaced by a new one");
    }
    accept(std::move(view), contradiction);
    return true;
  }

  // "" when there is none. Nor is a store believed while it is not known what was acted on. A
  // contradiction counts only in a view that was read after what was acted on: another thread may
  // have won a newer set in between. So it is looked for twice.
  std::string find_contradiction(store::VolumeView& view) {
    if (!view.volume) return "";
    try {
      const auto acted = tools_.arbiter.acted().find(view.volume->value.id);
      if (!acted || contradiction_of(view, *acted).empty()) return "";
      view = tools_.store.view_volume(volume_, owner_.settings_.here);
      std::string why = contradiction_of(view, *acted);
      if (!why.empty()) owner_.settings_.contradicted(volume_);
      return why;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::Unavailable) throw;
      return error.what();
    }
  }

  static std::string contradiction_of(const store::VolumeView& view, const model::Acted& acted) {
    if (!view.volume) return "";
    const auto current = view.current ? std::optional(view.current->value) : std::nullopt;
    return store::describe_contradiction(acted, view.volume->value, current);
  }

  bool is_recorded(const store::VolumeView& view) {
    store::ActedSets& acted = tools_.arbiter.acted();
    const model::Volume& volume = view.volume->value;
    if (!view.current) return !acted.find(volume.id);
    return acted.knows_all(volume, view.current->value);
  }

  // As soon as it is seen, so that as much as possible is known when the store is turned back. What
  // cannot be recorded keeps only that from being done which acts on it.
  void record_seen() {
    if (!wanted_->contradiction.empty() || !wanted_->current) return;
    try {
      store::ActedSets& acted = tools_.arbiter.acted();
      if (!acted.knows_set(wanted_->volume, *wanted_->current)) {
        acted.record(wanted_->volume, *wanted_->current);
      }
    } catch (const Error& error) {
      log::warn(error.what());
    }
  }

  // A node that was forgotten has come back with its old copy. All must know, so that none chooses
  // it for a new one before the old is gone.
  void tell_of_return(const store::Versioned<model::Volume>& found) {
    model::Volume volume = found.value;
    volume.former.insert(owner_.settings_.here);
    const std::string key = store::keys::volume(volume_);
    if (!tools_.store.commit(store::Change()
                                 .require(key, found.revision)
                                 .put(key, model::to_json(volume))
                                 .wake(volume))) {
      throw Error(ErrorCode::Unavailable, "volume " + volume_ + " has changed, looks again");
    }
  }

  void accept(store::VolumeView view, const std::string& contradiction) {
    const std::string& here = owner_.settings_.here;
    if (view.status && !wanted_) seen_.refused_release = view.status->refused_release;
    status_ = std::move(view.status);
    assigned_ = view.assigned;
    Wanted wanted{.volume = std::move(view.volume->value),
                  .here = here,
                  .attachment = {},
                  .current = {},
                  .contradiction = contradiction,
                  .peer_alive = false,
                  .peer_fate = PeerFate::Stays,
                  .nodes = {}};
    if (view.attachment) {
      wanted.attachment = std::move(view.attachment->value);
      attachment_revision_ = view.attachment->revision;
    }
    if (view.current) {
      wanted.current = std::move(view.current->value);
      wanted.current_revision = view.current->revision;
    }
    const bool has_copy = wanted.volume.find_replica(here) != nullptr;
    if (!has_copy) wanted.others_whole = are_whole(wanted.volume, view.nodes);
    const std::string peer = has_copy ? wanted.volume.peer_of(here) : "";
    owner_.remember_peer(volume_, peer);
    peer_to_be_filled_ =
        has_copy && is_to_be_filled(wanted.volume, wanted.current, peer, view.nodes);
    if (wanted.volume.mirrored() && has_copy) accept_nodes(wanted, peer, view.nodes);
    wanted_ = std::move(wanted);
  }

  void accept_nodes(Wanted& wanted, const std::string& peer, NodeViews& views) {
    for (const auto& [name, view] : views) {
      if (view.node) wanted.nodes[name] = *view.node;
    }
    if (!peer.empty()) owner_.peers_.note(peer, views[peer].session.has_value());
    if (const auto& status = views[peer].status) wanted.peer_device_bytes = status->device_bytes;
    wanted.peer_alive = wanted.attached_here() && is_heard_of(views[peer], *wanted.attachment);
    if (not_replaced_) return;
    wanted.peer_fate = owner_.peers_.fate_of(peer);
    if (wanted.peer_fate == PeerFate::Stays && lacks_backing(wanted.volume, peer, views)) {
      wanted.peer_fate = PeerFate::BackingGone;
    }
    if (owner_.unable_time_over(volume_, is_unable(wanted.volume, peer, views)) &&
        wanted.peer_fate == PeerFate::Stays) {
      wanted.peer_fate = PeerFate::Unable;
    }
    // One copy after the other: while it moves, the volume has only one that counts.
    if (wanted.peer_fate == PeerFate::Drained && owner_.resync_turns_.is_full(volume_)) {
      wanted.peer_fate = PeerFate::Stays;
    }
  }

  // Holds its lease, and has said something since the volume was taken from it as from one that is
  // silent.
  bool is_heard_of(const store::NodeView& node, const model::Attachment& attachment) const {
    if (!node.session) return false;
    if (*node.session != attachment.silent_session) return true;
    return node.status && node.status->attachment_revision >= attachment_revision_;
  }

  // False: backing devices were changed.
  bool perform(const std::vector<Action>& actions) {
    bool backing_known = true;
    for (const Action& action : actions) {
      if (action.kind == ActionKind::LookAgain) break;
      if (action.kind != ActionKind::Fail) log::info(to_text(action));
      if (touches_backing(action.kind)) backing_known = false;
      if (action.kind == ActionKind::RefuseRelease) {
        seen_.refused_release = wanted_->attachment->release->id;
        note_ = action.text;
        continue;
      }
      if (action.kind == ActionKind::PutBack) put_back_ = true;
      if (action.kind == ActionKind::ForgetReplica) forgotten_ = true;
      if (action.kind == ActionKind::ReplacePeer) {
        replace();
        continue;
      }
      try {
        if (acts_on_set(action.kind) && wanted_->current) {
          tools_.arbiter.acted().record(wanted_->volume, *wanted_->current);
        }
        apply(action, *wanted_, seen_, tools_);
      } catch (const Error&) {
        const bool ends_freeze =
            action.kind == ActionKind::AskArbiter || action.kind == ActionKind::ResumeIo;
        if (ends_freeze && frozen(seen_)) connect_again();
        throw;
      }
      if (changes_space(action.kind)) owner_.settings_.space_changed();
      if (action.kind == ActionKind::Unmount) owner_.settings_.unmounted();
    }
    return backing_known;
  }

  // A primary that was parted to be asked about, and got no answer: its I/O stays frozen, but a
  // peer that comes back ends that, and must find the connection open.
  void connect_again() {
    try {
      observe_resource(*wanted_, tools_, seen_);
      if (frozen(seen_) && seen_.resource->connection == "StandAlone") {
        tools_.drbd.adjust(volume_);
      }
    } catch (const Error& error) {
      log::warn(error.what());
    }
  }

  // The volume is as usable as before when no node can take a second copy: a note, not an error.
  // The patrol tries again.
  void replace() {
    const bool is_moved = wanted_->peer_fate == PeerFate::Drained;
    try {
      // Another pass may be quicker; when what that moves is whole, this volume is woken.
      not_replaced_ = !replace_peer(*wanted_, tools_.store, tools_.arbiter, [&] {
        return !is_moved || owner_.resync_turns_.reserve(volume_);
      });
    } catch (const Error& error) {
      if (is_moved) owner_.resync_turns_.cancel(volume_);
      if (error.code() != ErrorCode::OutOfSpace) throw;
      if (note_.empty()) note_ = error.what();
      not_replaced_ = true;
      log::warn(error.what());
    }
  }

  void report() {
    if (error_) {
      if (error_->code() == ErrorCode::Unavailable) {
        log::info(error_->what());
      } else {
        log::warn(error_->what());
      }
      // Without the volume's record nobody knows whom an error concerns: then only an internal one
      // is reported, to every call that waits.
      if (!wanted_ ? error_->code() == ErrorCode::Internal : concerns_mount_calls(*wanted_)) {
        tools_.calls.report(volume_, *error_);
      }
    }
    if (!wanted_) return;
    if (!only_arbitrated_) note_seen();
    record_all();
    try {
      write_status();
      wake_former();
    } catch (const Error& error) {
      log::warn(error.what());
      if (!error_) error_ = error;  // the status is owed: come again
    }
  }

  // A former copy waits for the set and for what both nodes say of themselves.
  void wake_former() {
    if (!put_back_ || !wanted_ || wanted_->volume.former.empty()) return;
    tools_.store.commit(store::Change().wake(wanted_->volume));
  }

  // The rest of what is known of the volume, for an empty store.
  void record_all() {
    if (forgotten_ || !wanted_->contradiction.empty() || !wanted_->current) return;
    try {
      tools_.arbiter.acted().record(wanted_->volume, *wanted_->current);
    } catch (const Error& error) {
      log::warn(error.what());
    }
  }

  // For this agent's other passes.
  void note_seen() {
    if (owner_.resync_turns_.note(volume_, seen_.resource, peer_to_be_filled_)) {
      owner_.settings_.resyncs_changed();
    }
    owner_.remember_mounts(volume_, seen_);
  }

  std::string note() const {
    return note_.empty() ? owner_.settings_.missing_mounts(volume_) : note_;
  }

  model::Status make_status() const {
    model::Status status{.session = owner_.settings_.session,
                         .attachment_revision = wanted_->attachment ? attachment_revision_ : 0,
                         .ready = !error_ && is_ready(*wanted_, seen_),
                         .device = seen_.data ? seen_.data->device : "",
                         .role = {},
                         .disk_state = {},
                         .connection = {},
                         .synced_percent = 100,
                         .out_of_sync_bytes = 0,
                         .backing_gone = backing_is_gone(*wanted_, seen_),
                         .mounts = seen_.mounts,
                         .refused_release = seen_.refused_release,
                         .error_code = error_ ? error_->code() : ErrorCode::Internal,
                         .error = error_ ? error_->what() : note(),
                         .device_bytes = seen_.data ? device_size_bytes(seen_.data->device) : 0};
    if (status_) status.unknown = status_->unknown;
    add_resource(status);
    return status;
  }

  // Of what was not looked at stays what was said before.
  model::Status make_status_of_arbitration() const {
    model::Status status = *status_;
    status.ready = false;
    status.error_code = error_->code();
    status.error = error_->what();
    add_resource(status);
    return status;
  }

  void add_resource(model::Status& status) const {
    if (!seen_.resource) return;
    status.role = seen_.resource->role;
    status.disk_state = seen_.resource->disk_state;
    status.connection = seen_.resource->connection;
    status.synced_percent = seen_.resource->synced_percent;
    status.out_of_sync_bytes = seen_.resource->out_of_sync_bytes;
  }

  void write_status() {
    if (only_arbitrated_ && !status_) return;
    const model::Status status = only_arbitrated_ ? make_status_of_arbitration() : make_status();
    if (status_ == status) return;
    tools_.store.put_status(owner_.settings_.here, wanted_->volume, assigned_, status);
  }

  Reconciler& owner_;
  const Tools& tools_;
  const std::string& volume_;
  std::optional<Wanted> wanted_;
  std::int64_t attachment_revision_ = 0;
  std::optional<model::Status> status_;  // as the store has it
  std::int64_t assigned_ = 0;
  Seen seen_;
  int rounds_left_ = 0;
  std::string note_;  // for people, beside all that went well
  bool not_replaced_ = false;
  bool peer_to_be_filled_ = false;
  bool put_back_ = false;
  bool forgotten_ = false;        // the copy here was removed
  bool only_arbitrated_ = false;  // a job runs, and what it works on is not looked at
  std::optional<Error> error_;
};

Outcome Reconciler::arbitrate(const std::string& volume) {
  return Pass(*this, volume).arbitrate();
}

Outcome Reconciler::reconcile(const std::string& volume, const store::VolumeView* ahead) {
  if (ahead != nullptr && Pass(*this, volume).is_at_rest(*ahead)) return Outcome::Settled;
  return Pass(*this, volume).run();
}

}  // namespace plexvol::reconcile
