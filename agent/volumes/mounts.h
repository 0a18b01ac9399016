// A volume's device, for somebody who mounts it on this node.
#pragma once

#include <string>

#include "agent/model/model.h"
#include "agent/mounting/mount_calls.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/attachments.h"
#include "agent/volumes/await.h"
#include "agent/volumes/create.h"
#include "agent/volumes/settings.h"
#include "agent/volumes/wanted.h"

namespace plexvol::volumes {

struct MountWish {
  Wanted wanted;
  std::string name;    // as Taker's
  std::string target;  // the directory that will be mounted on
  // By a call of its own: detach, not the last unmount, releases the volume.
  bool attached_before = false;
};

struct ReadyToMount {
  model::Volume volume;
  mounting::Prepared device;
  std::string call_id;
};

class Mounts {
 public:
  Mounts(store::TypedStore& store, Creation& creation, Attachments& attachments,
         mounting::MountCalls& calls, const Settings& settings)
      : store_(store),
        creation_(creation),
        attachments_(attachments),
        calls_(calls),
        settings_(settings) {}

  // Attaches the volume, unless that is another call's work, and returns when its device can be
  // mounted. Until the answer's call_id comes back in mounted(), or is ended by abandon() since its
  // caller is gone, the volume is not given up. Throws Conflict when the pod's namespace may not
  // have it, or another node does not release it.
  ReadyToMount prepare(const MountWish& wish, const Call& call);
  // `failure`: "" when the mount stands; else nothing was left mounted.
  void mounted(const std::string& call_id, const std::string& target, const std::string& failure);
  void abandon(const std::string& call_id);
  void unmounted();

 private:
  mounting::Prepared await_prepared(const model::Volume& volume, const std::string& call_id,
                                    const Taker& taker, const Call& call);

  store::TypedStore& store_;
  Creation& creation_;
  Attachments& attachments_;
  mounting::MountCalls& calls_;
  const Settings& settings_;
};

}  // namespace plexvol::volumes
