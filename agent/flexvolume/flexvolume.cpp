#include "agent/flexvolume/flexvolume.h"

#include <fmt/core.h>

#include "agent/api/names.h"
#include "agent/base/deadline.h"
#include "agent/base/text.h"
#include "agent/log.h"
#include "agent/volumes/resize.h"

namespace plexvol::flexvolume {

using volumes::Call;

namespace {

// A pod that is about to start is kept no longer from it by a volume that does not grow.
constexpr std::chrono::milliseconds kPatienceOfStart{15'000};

// What a caller gets though it asked for something else is also in the log: a kubelet shows no
// message of a call that succeeds.
std::string tell_unmet(const volumes::Wanted& wanted, const model::Volume& volume) {
  std::string unmet = volumes::describe_unmet(wanted, volume);
  if (!unmet.empty()) log::warn(unmet);
  return unmet;
}

}  // namespace

std::string FlexVolume::device_of(const std::string& volume) const {
  return device_directory_ + "/" + volume;
}

// `device` is what an attach call has answered, perhaps by another node's agent, which may have
// another device directory (contract fact 25): only the last part of the path is the volume's.
void FlexVolume::check_device(const std::string& device, const std::string& volume) const {
  if (device.empty() || base::base_name(device) == volume) return;
  throw Error(ErrorCode::InvalidArgument,
              fmt::format("device {} does not belong to volume {}, whose device is {}; if two pods "
                          "have inline volumes of the same name, rename one of them",
                          device, volume, device_of(volume)));
}

api::DeviceReply FlexVolume::attach(const api::AttachRequest& request, const Call& call) {
  const Request asked = parse_options(request.options);
  const log::LogScope scope("volume", asked.wanted.volume);
  const model::Volume volume =
      use_cases_.attachments.attach(asked.wanted, request.node, asked.name, call);
  return {.device = device_of(volume.name), .message = tell_unmet(asked.wanted, volume)};
}

// Called again after a reboot, when nothing calls attach (contract fact 40): the attachment is in
// the store still.
api::DeviceReply FlexVolume::wait_for_attach(const api::WaitForAttachRequest& request,
                                             const Call& call) {
  const Request asked = parse_options(request.options, UnknownOptions::Ignore);
  const log::LogScope scope("volume", asked.wanted.volume);
  call.is_about(asked.wanted.volume);
  check_device(request.device, asked.wanted.volume);
  use_cases_.attachments.await_device(asked.wanted, asked.name, call);
  return {.device = device_of(asked.wanted.volume), .message = {}};
}

api::IsAttachedReply FlexVolume::is_attached(const api::AttachRequest& request) {
  try {
    const Request asked = parse_options(request.options, UnknownOptions::Ignore);
    return {.attached = use_cases_.attachments.find_node(asked.wanted.volume) == request.node};
  } catch (const std::exception& error) {
    log::warn(std::string("isattached: answered true, since the attachment cannot be read: ") +
              error.what());
    return {.attached = true};
  }
}

void FlexVolume::detach(const api::DetachRequest& request, const Call& call) {
  use_cases_.attachments.detach(request.node, request.name, call);
}

api::MountReply FlexVolume::mount(const api::MountRequest& request, const Call& call) {
  const Request asked = parse_options(request.options);
  const log::LogScope scope("volume", asked.wanted.volume);
  call.is_about(asked.wanted.volume);
  check_device(request.device, asked.wanted.volume);
  const volumes::ReadyToMount ready =
      use_cases_.mounts.prepare({.wanted = asked.wanted,
                                 .name = asked.name,
                                 .target = request.target,
                                 .attached_before = request.attached_before},
                                call);
  return {.volume = ready.volume.name,
          .device = ready.device.device,
          .major = ready.device.major,
          .minor = ready.device.minor,
          .fs_type = ready.volume.fs_type,
          .flags = asked.mount_flags,
          .data = asked.mount_data,
          .read_only = asked.read_only,
          .call_id = ready.call_id,
          .message = tell_unmet(asked.wanted, ready.volume)};
}

void FlexVolume::mounted(const api::MountedRequest& request) {
  std::string failure;
  if (!request.mounted) failure = request.message.empty() ? "no reason given" : request.message;
  use_cases_.mounts.mounted(request.call_id, request.target, failure);
  if (request.mounted) recent_.add(request.target);
}

void FlexVolume::abandon(const std::string& call_id) {
  use_cases_.mounts.abandon(call_id);
}

void FlexVolume::unmounted(const api::UnmountedRequest& request) {
  recent_.take(request.target);
  use_cases_.mounts.unmounted();
}

api::ExpandReply FlexVolume::expand(const api::ExpandRequest& request, const Call& call) {
  const Request asked = parse_options(request.options, UnknownOptions::Ignore);
  const std::string& volume = asked.wanted.volume;
  const log::LogScope scope("volume", volume);
  const bool is_starting = recent_.take(request.target);
  Call patient = call;
  if (is_starting) patient.deadline = base::sooner(call.deadline, kPatienceOfStart);
  try {
    // A person may have made the volume larger than its claim asks for.
    volumes::resize_and_await(
        use_cases_.store, use_cases_.turns, volume,
        {.bytes = parse_size_bytes(std::to_string(request.size)), .at_least = true}, patient);
    return {};
  } catch (const Error& error) {
    if (!is_starting) throw;
    log::warn(error.what());
    return {.message = fmt::format("{}; the pod starts with what there is", error.what())};
  }
}

}  // namespace plexvol::flexvolume
