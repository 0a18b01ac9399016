// FlexVolume's door: what the kubelet's calls and options mean, as use cases.
//
// The contract is flexdriver/CONTRACT.md. Everything here may come twice, at once, late, or again
// after a crash in the middle of itself.
#pragma once

#include <string>

#include "agent/api/protocol.h"
#include "agent/flexvolume/options.h"
#include "agent/flexvolume/recent_mounts.h"
#include "agent/volumes/await.h"
#include "agent/volumes/use_cases.h"

namespace plexvol::flexvolume {

class FlexVolume {
 public:
  // `device_directory`: where a volume's link is on every node, whatever is behind it.
  FlexVolume(volumes::UseCases& use_cases, std::string device_directory)
      : use_cases_(use_cases), device_directory_(std::move(device_directory)) {}

  api::DeviceReply attach(const api::AttachRequest& request, const volumes::Call& call);
  api::DeviceReply wait_for_attach(const api::WaitForAttachRequest& request,
                                   const volumes::Call& call);
  // Never throws: one failing answer voids those of all other volumes of the node (contract fact
  // 34), so in doubt it is attached.
  api::IsAttachedReply is_attached(const api::AttachRequest& request);
  void detach(const api::DetachRequest& request, const volumes::Call& call);
  // The reply's call_id must come back in mounted(), or be ended by abandon() when its caller is
  // gone.
  api::MountReply mount(const api::MountRequest& request, const volumes::Call& call);
  void mounted(const api::MountedRequest& request);
  void abandon(const std::string& call_id);
  void unmounted(const api::UnmountedRequest& request);
  // Makes all of the volume at least as large. Directly after a mount a failure would keep the pod
  // from starting, for as long as there is no room or a copy is away, and nobody can make its claim
  // smaller: then the call succeeds after a moment's wait, and the nodes go on by themselves.
  api::ExpandReply expand(const api::ExpandRequest& request, const volumes::Call& call);

 private:
  std::string device_of(const std::string& volume) const;
  void check_device(const std::string& device, const std::string& volume) const;

  volumes::UseCases& use_cases_;
  std::string device_directory_;
  RecentMounts recent_;
};

}  // namespace plexvol::flexvolume
