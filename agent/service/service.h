// What every face of the agent calls: the FlexVolume calls, DRBD's callback and the commands for
// people.
//
// A call changes what should be, in the store, and waits until the nodes concerned report that it
// is so. It never touches a device. Every call may come twice, at once, late, or again after a
// crash in the middle of itself.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/api/repair.h"
#include "agent/arbiter/arbiter.h"
#include "agent/mounting/mount_calls.h"
#include "agent/placement/placement.h"
#include "agent/service/await.h"
#include "agent/service/options.h"
#include "agent/store/typed_store.h"

namespace plexvol::service {

struct Settings {
  std::string here;
  std::string session;
  std::string version;
  std::string device_directory = "/dev/plexvol";
  std::uint16_t first_port = 7000;
  // A holder that is cut off from the copy where the volume is wanted may take so long to answer.
  std::chrono::milliseconds silence{2'000};
  // Throws InvalidArgument when mkfs would not take the words for a volume of this size. May be
  // empty: then only their form is checked.
  std::function<void(const std::string& fs_type, const std::string& mkfs_options,
                     std::uint64_t size_bytes)>
      try_mkfs = {};
  // Whether DRBD's resource of the volume's name is the volume's, as far as this can be told while
  // the kernel waits for an answer.
  std::function<bool(const model::Volume&)> owns_resource = [](const model::Volume&) {
    return true;
  };
  // Called before a driver is told what to mount there.
  std::function<void(const std::string& target)> target_named = [](const std::string&) {};
  // This node's name moves to the machine that asks for it: for an agent that is refused.
  std::function<void()> give_name_up = [] {};
};

class Service {
 public:
  // `mounts_changed` is called when somebody says so; it must not block.
  Service(store::TypedStore& store, arbiter::Arbiter& arbiter, mounting::MountCalls& calls,
          std::function<void()> mounts_changed, Settings settings);

  api::DeviceReply attach(const api::AttachRequest& request, const Call& call);
  api::DeviceReply wait_for_attach(const api::WaitForAttachRequest& request, const Call& call);
  // Never throws: one failing answer voids those of all other volumes of the node (fact 34), so in
  // doubt it is attached.
  api::IsAttachedReply is_attached(const api::AttachRequest& request);
  void detach(const api::DetachRequest& request, const Call& call);
  // The reply's call_id must come back in mounted(), or be ended by abandon() when its caller is
  // gone.
  api::MountReply mount(const api::MountRequest& request, const Call& call);
  void mounted(const api::MountedRequest& request);
  void abandon(const std::string& call_id);
  void unmounted(const api::UnmountedRequest& request);
  api::HelperReply helper(const api::HelperRequest& request);

  api::VolumeInfo create_volume(const api::CreateVolumeRequest& request, const Call& call);
  std::vector<api::VolumeInfo> list_volumes();
  api::VolumeInfo show_volume(const std::string& name);
  api::VolumeInfo set_volume(const api::SetVolumeRequest& request);
  api::DeleteVolumeReply delete_volume(const std::string& name, const Call& call);
  api::VolumeInfo force_current(const api::ForceCurrentRequest& request);
  std::vector<api::NodeInfo> list_nodes();
  api::NodeChangeReply change_node(const api::NodeChange& request);
  api::RepairReply repair(const api::RepairRequest& request);
  api::VersionReply version();

 private:
  struct NewVolume {
    std::string name;
    std::uint64_t size_bytes = 0;
    unsigned replicas = 1;
    std::vector<std::string> nodes;
    std::string pool;
    std::string fs_type;
    std::string mkfs_options;
    std::string asking;
    std::string tenant;
  };
  using Placements = std::map<std::string, std::int64_t>;  // by node: keys::placement()'s revision

  std::string device_of(const std::string& volume) const;
  void check_device(const std::string& device, const std::string& volume) const;
  static void note_subject(const Call& call, const std::string& volume) {
    if (call.subject != nullptr) *call.subject = volume;
  }
  model::Volume get_volume(const std::string& name);
  // The volume that the options speak of.
  model::Volume find_existing(const Wish& wish);
  // Made when it does not exist and they carry a size.
  model::Volume find_or_create(const Wish& wish, const std::string& node);
  model::Volume create(const NewVolume& wanted);
  static bool is_same(const NewVolume& wanted, const std::string& fs_type,
                      const model::Volume& old);
  api::VolumeInfo await_first_connection(const model::Volume& volume, const Call& call);
  placement::Placement place(const NewVolume& wanted, Placements& placements);
  bool store_new(model::Volume volume, bool mirrored, const std::string& tenant,
                 const Placements& placements);
  void check_mkfs(const std::string& fs_type, const std::string& mkfs_options,
                  std::uint64_t size_bytes) const;
  // The volume with what it takes on of the options; throws when it is no longer this one.
  model::Volume take_up(const Wish& wish, const model::Volume& volume);
  // Throws Conflict unless pods of the namespace may mount the volume; "" is no pod's.
  void check_tenant(const model::Volume& volume, const std::string& tenant);
  // The same, and a volume that has no namespace yet is of this one from now on.
  void claim_for_tenant(const model::Volume& volume, const std::string& tenant);

  // What a call wants of the attachment. Where attaching is a call of its own, no other one
  // attaches: a volume that was detached while its kubelet still worked on it (fact 43) would be
  // attached again, and nobody would ever detach it.
  enum class Claim { Attach, StayAttached, Mount };

  // Makes the volume attached to the node under this name, taking it over from a node that is gone,
  // or that lets go of it. Answers the attachment's revision.
  std::int64_t hold(const model::Volume& volume, const std::string& node, const std::string& name,
                    Claim claim, const Call& call);
  bool try_hold(const model::Volume& volume, const std::string& node, const std::string& name,
                Claim claim, const Call& call);
  // Its agent has lost its lease. Never so of this very node, whose key comes a moment after its
  // agent.
  bool is_gone(const std::string& node) const;
  // A moment after its start the agent's own node is not in the store yet: nothing can be placed.
  void await_announced(const Call& call);
  struct Silent {
    store::Versioned<model::Attachment> attachment;
    store::Versioned<model::Current> current;
    std::int64_t status_revision = 0;
    std::string session;
  };
  bool is_cut_off(const std::string& volume, const std::string& node);
  std::optional<Silent> find_silent(const std::string& volume, const std::string& taker,
                                    const std::string& release_id);
  bool ask_for(const model::Volume& volume, const store::Versioned<model::Attachment>& held,
               model::Attachment mine, const std::string& name, Claim claim, const Call& call);
  store::Change holding(const model::Volume& volume, const model::Attachment& next,
                        const std::string& name, Claim claim, store::Change change);
  store::Change taking_over(const model::Volume& volume,
                            const store::Versioned<model::Attachment>& from,
                            const model::Attachment& next, const std::string& name, Claim claim);
  std::optional<std::string> join_or_ask(const model::Volume& volume,
                                         const store::Versioned<model::Attachment>& attachment,
                                         const std::string& reason);
  std::optional<Silent> request_release(const model::Volume& volume,
                                        const store::Versioned<model::Attachment>& attachment,
                                        const std::string& reason, const std::string& taker,
                                        const Call& call);
  std::optional<model::Status> ask_holder(const model::Volume& volume,
                                          const store::Versioned<model::Attachment>& attachment,
                                          const Call& call);
  void release_for_deletion(const model::Volume& volume,
                            const store::Versioned<model::Attachment>& attachment,
                            const Call& call);
  void withdraw_release(const std::string& volume, const std::string& id);
  bool remove_attachment(const model::Volume& volume,
                         const store::Versioned<model::Attachment>& attachment);
  void await_ready(const model::Volume& volume, const std::string& node, std::int64_t revision,
                   const Call& call);
  mounting::Prepared await_prepared(const model::Volume& volume, const std::string& call_id,
                                    const std::string& name, Claim claim, const Call& call);

  store::TypedStore& store_;
  arbiter::Arbiter& arbiter_;
  mounting::MountCalls& calls_;
  std::function<void()> mounts_changed_;
  Settings settings_;
};

}  // namespace plexvol::service
