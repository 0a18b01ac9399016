// The FlexVolume calls, and DRBD's callback.
#include <algorithm>

#include "agent/api/names.h"
#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/service/service.h"

namespace plexvol::service {

Service::Service(store::TypedStore& store, arbiter::Arbiter& arbiter, mounting::MountCalls& calls,
                 std::function<void()> mounts_changed, Settings settings)
    : store_(store),
      arbiter_(arbiter),
      calls_(calls),
      mounts_changed_(std::move(mounts_changed)),
      settings_(std::move(settings)) {}

std::string Service::device_of(const std::string& volume) const {
  return settings_.device_directory + "/" + volume;
}

// `device` is what an attach call has answered, perhaps by another node's agent, which may have
// another device directory (contract fact 25): only the last part of the path is the volume's.
void Service::check_device(const std::string& device, const std::string& volume) const {
  if (device.empty() || device.substr(device.rfind('/') + 1) == volume) return;
  throw Error(ErrorCode::InvalidArgument,
              "device " + device + " does not belong to volume " + volume + ", whose device is " +
                  device_of(volume) +
                  "; if two pods have inline volumes of the same name, rename one");
}

model::Volume Service::get_volume(const std::string& name) {
  check_volume_name(name);
  const auto found = store_.find_volume(name);
  if (!found) throw Error(ErrorCode::NotFound, "no volume named " + name);
  return found->value;
}

model::Volume Service::find_existing(const Wish& wish) {
  model::Volume volume = get_volume(wish.volume);
  check_same_volume(wish, volume);
  return volume;
}

model::Volume Service::find_or_create(const Wish& wish, const std::string& node) {
  const auto found = store_.find_volume(wish.volume);
  if (found && !found->value.deleting) {
    check_same_volume(wish, found->value);
    return found->value;
  }
  if (found) {
    throw Error(ErrorCode::Unavailable, "volume " + wish.volume + " is being deleted");
  }
  if (!wish.size_bytes) {
    throw Error(ErrorCode::NotFound, "no volume named " + wish.volume +
                                         ", and the options have no size to create it with; run "
                                         "`plexvol volume create`, or add the option size");
  }
  return create({.name = wish.volume,
                 .size_bytes = *wish.size_bytes,
                 .replicas = wish.replicas.value_or(1),
                 .nodes = {},
                 .pool = wish.pool,
                 .fs_type = wish.fs_type,
                 .mkfs_options = wish.mkfs_options,
                 .asking = node,
                 .tenant = wish.tenant});
}

model::Volume Service::take_up(const Wish& wish, const model::Volume& volume) {
  constexpr int kMaxRaces = 20;
  const std::string key = store::keys::volume(volume.name);
  for (int race = 0; race < kMaxRaces; ++race) {
    const auto found = store_.find_volume(volume.name);
    if (!found || found->value.id != volume.id) {
      throw Error(ErrorCode::Unavailable, "volume " + volume.name + " was deleted meanwhile");
    }
    model::Volume next = found->value;
    if (!adopt(wish, next)) return next;
    if (next.mkfs_options != found->value.mkfs_options) {
      check_mkfs(next.fs_type, next.mkfs_options, next.size_bytes);
    }
    const auto change =
        store::Change().require(key, found->revision).put(key, model::to_json(next)).wake(next);
    if (store_.commit(change)) return next;
  }
  throw Error(ErrorCode::Unavailable,
              "volume " + volume.name + ": changed concurrently; try again");
}

namespace {

// What a caller gets though it asked for something else is also in the log: a kubelet shows no
// message of a call that succeeds.
std::string tell_unmet(const Wish& wish, const model::Volume& volume) {
  std::string unmet = describe_unmet(wish, volume);
  if (!unmet.empty()) log::warn(unmet);
  return unmet;
}

}  // namespace

api::DeviceReply Service::attach(const api::AttachRequest& request, const Call& call) {
  check_node_name(request.node);
  const Wish wish = parse_options(request.options);
  note_subject(call, wish.volume);
  const log::LogScope scope("volume", wish.volume);
  await_announced(call);
  if (!store_.find_node(request.node)) {
    throw Error(ErrorCode::NotFound, "no Plexvol agent has ever run on node " + request.node);
  }
  const model::Volume volume = take_up(wish, find_or_create(wish, request.node));
  const std::int64_t revision = hold(volume, request.node, wish.name, Claim::Attach, call);
  await_ready(volume, request.node, revision, call);
  return {.device = device_of(volume.name), .message = tell_unmet(wish, volume)};
}

// Called again after a reboot, when nothing calls attach (fact 40): the attachment is in the store
// still, and the device comes anew.
api::DeviceReply Service::wait_for_attach(const api::WaitForAttachRequest& request,
                                          const Call& call) {
  const Wish wish = parse_options(request.options, UnknownOptions::Ignore);
  note_subject(call, wish.volume);
  const log::LogScope scope("volume", wish.volume);
  const std::string device = device_of(wish.volume);
  check_device(request.device, wish.volume);
  const model::Volume volume = find_existing(wish);
  const std::int64_t revision = hold(volume, settings_.here, wish.name, Claim::StayAttached, call);
  await_ready(volume, settings_.here, revision, call);
  return {.device = device, .message = {}};
}

api::IsAttachedReply Service::is_attached(const api::AttachRequest& request) {
  try {
    const Wish wish = parse_options(request.options, UnknownOptions::Ignore);
    const auto attachment = store_.find_attachment(wish.volume);
    return {.attached = attachment && attachment->value.node == request.node};
  } catch (const std::exception& error) {
    log::warn(std::string("isattached: answered true, since the attachment cannot be read: ") +
              error.what());
    return {.attached = true};
  }
}

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

api::MountReply Service::mount(const api::MountRequest& request, const Call& call) {
  const Wish wish = parse_options(request.options);
  note_subject(call, wish.volume);
  const log::LogScope scope("volume", wish.volume);
  check_device(request.device, wish.volume);
  settings_.target_named(request.target);
  await_announced(call);
  const model::Volume found =
      request.attached_before ? find_existing(wish) : find_or_create(wish, settings_.here);
  // Before anything is taken from others for a pod that may not have it.
  check_tenant(found, wish.tenant);
  const model::Volume volume = take_up(wish, found);
  const Claim claim = request.attached_before ? Claim::StayAttached : Claim::Mount;
  // Known before the volume is attached: an attachment without a mount or a mount call is let go at
  // once.
  CallGuard guard(calls_, volume.name);
  hold(volume, settings_.here, wish.name, claim, call);
  // Only now: a pod that does not get the volume must not keep those out who have it.
  claim_for_tenant(volume, wish.tenant);
  const auto prepared = await_prepared(volume, guard.id(), wish.name, claim, call);
  return {.volume = volume.name,
          .device = prepared.device,
          .major = prepared.major,
          .minor = prepared.minor,
          .fs_type = volume.fs_type,
          .flags = wish.mount_flags,
          .data = wish.mount_data,
          .read_only = wish.read_only,
          .call_id = guard.hand_over(),
          .message = tell_unmet(wish, volume)};
}

// The attachment may be lost while the device is being prepared (taken over, or released a moment
// before): hold it again.
mounting::Prepared Service::await_prepared(const model::Volume& volume, const std::string& call_id,
                                           const std::string& name, Claim claim, const Call& call) {
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
      hold(volume, settings_.here, name, claim, call);
    }
  }
}

void Service::mounted(const api::MountedRequest& request) {
  if (!calls_.find_volume(request.call_id)) {
    // A former agent gave the device out; what has become of the volume since then, this one cannot
    // vouch for.
    throw Error(ErrorCode::Conflict, "the agent was restarted while " + request.target +
                                         " was being mounted; retry the call");
  }
  if (!request.mounted) log::warn("mount on " + request.target + " failed: " + request.message);
  calls_.end(request.call_id);
}

void Service::abandon(const std::string& call_id) {
  calls_.end(call_id);
}

void Service::unmounted(const api::UnmountedRequest&) {
  mounts_changed_();
}

api::HelperReply Service::helper(const api::HelperRequest& request) {
  constexpr int kPeerOutdated = 4;  // DRBD trap 3: I/O goes on
  constexpr int kUnknown = 1;       // it stays frozen, a promotion is refused
  if (request.event != "fence-peer") {
    log::info("DRBD reports " + request.event + " of " + request.object);
    return {.exit_code = 0};
  }
  const auto volume = store_.find_volume(request.object);
  if (!volume || !volume->value.mirrored() || !settings_.owns_resource(volume->value)) {
    log::warn("DRBD asks to fence the peer of " + request.object +
              ", which is not a Plexvol volume");
    return {.exit_code = kUnknown};
  }
  const std::string peer = volume->value.peer_of(settings_.here);
  const arbiter::Arbiter::Question question(arbiter_, request.object);
  const auto verdict = arbiter_.take_out(volume->value, settings_.here, peer,
                                         "DRBD on " + settings_.here + " asks, it lost " + peer);
  try {
    // The answer may come too late for the kernel, which then has nothing more to say: somebody has
    // to put the peer back all the same.
    store_.commit(store::Change().wake(volume->value));
  } catch (const Error& error) {
    log::warn(error.what());
  }
  return {.exit_code = verdict == arbiter::Verdict::Won ? kPeerOutdated : kUnknown};
}

}  // namespace plexvol::service
