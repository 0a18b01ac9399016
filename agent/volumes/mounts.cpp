#include "agent/volumes/mounts.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "agent/api/names.h"
#include "agent/log.h"
#include "agent/volumes/await_made.h"
#include "agent/volumes/lookup.h"
#include "agent/volumes/tenants.h"

namespace plexvol::volumes {

namespace {

// Ends the call unless it was handed over to its caller.
class CallGuard {
 public:
  CallGuard(mounting::MountCalls& calls, const std::string& volume)
      : calls_(calls), id_(calls.begin(volume)) {}
  CallGuard(const CallGuard&) = delete;
  CallGuard& operator=(const CallGuard&) = delete;
  ~CallGuard() {
    if (!id_.empty()) calls_.end(id_);
  }
  const std::string& id() const { return id_; }
  std::string hand_over() { return std::exchange(id_, ""); }

 private:
  mounting::MountCalls& calls_;
  std::string id_;
};

}  // namespace

ReadyToMount Mounts::prepare(const MountWish& wish, const Call& call) {
  const Wanted& wanted = wish.wanted;
  const std::string& here = settings_.here;
  check(wanted);
  check_node_name(wish.name);
  call.is_about(wanted.volume);
  settings_.target_named(wish.target);
  await_announced(store_, here, call);
  const model::Volume found =
      wish.attached_before ? find_existing(store_, wanted) : creation_.find_or_create(wanted, here);
  // Before anything is taken from others for a pod that may not have it.
  check_tenant(store_, found, wanted.tenant);
  const model::Volume volume = creation_.take_up(wanted, found);
  const Taker taker{.node = here,
                    .name = wish.name,
                    .claim = wish.attached_before ? Claim::StayAttached : Claim::Mount};
  // Known before the volume is attached: an attachment without a mount or a mount call is let go at
  // once.
  CallGuard guard(calls_, volume.name);
  attachments_.hold(volume, taker, call);
  // Only now: a pod that does not get the volume must not keep those out who have it.
  claim_for_tenant(store_, volume, wanted.tenant);
  mounting::Prepared device = await_prepared(volume, guard.id(), taker, call);
  return {.volume = volume, .device = std::move(device), .call_id = guard.hand_over()};
}

// The attachment may be lost while the device is being prepared (taken over, or released a moment
// before): hold it again.
mounting::Prepared Mounts::await_prepared(const model::Volume& volume, const std::string& call_id,
                                          const Taker& taker, const Call& call) {
  const std::stop_callback wake(call.stop, [&] { calls_.interrupt(call_id); });
  std::chrono::seconds pause(1);
  // Set up only for those that wait longer: most volumes are ready sooner.
  std::unique_ptr<store::Watch> watch;
  while (true) {
    const auto slice = std::min(call.deadline, std::chrono::steady_clock::now() + pause);
    try {
      return calls_.wait(call_id, slice);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::Unavailable || slice == call.deadline) throw;
      if (call.stop.stop_requested()) throw;
    }
    if (!watch) {
      pause = kRareLook;
      watch =
          store_.raw().watch(store::keys::attachment(volume.name),
                             [this, call_id](const std::string&) { calls_.interrupt(call_id); });
    }
    const auto attachment = store_.find_attachment(volume.name);
    if (!attachment || attachment->value.node != settings_.here) {
      attachments_.hold(volume, taker, call);
    }
  }
}

void Mounts::mounted(const std::string& call_id, const std::string& target,
                     const std::string& failure) {
  if (!calls_.find_volume(call_id)) {
    // A former agent gave the device out; what has become of the volume since then, this one cannot
    // vouch for.
    throw Error(
        ErrorCode::Conflict,
        fmt::format("the agent was restarted while {} was being mounted; retry the call", target));
  }
  if (!failure.empty()) log::warn(fmt::format("mount on {} failed: {}", target, failure));
  calls_.end(call_id);
}

void Mounts::abandon(const std::string& call_id) {
  calls_.end(call_id);
}

void Mounts::unmounted() {
  settings_.mounts_changed();
}

}  // namespace plexvol::volumes
