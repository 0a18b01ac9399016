// What every door of the agent calls: the kubelet's, people's, and those to come.
//
// A use case changes what should be, in the store, and waits until the nodes concerned report that
// it is so. It never touches a device. Every call may come twice, at once, late, or again after a
// crash in the middle of itself. Inputs are typed and checked for what they mean; what a door's own
// words are (options, volume ids, a size as typed) is for the door to know.
#pragma once

#include <utility>

#include "agent/arbiter/arbiter.h"
#include "agent/mounting/mount_calls.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/attachments.h"
#include "agent/volumes/changes.h"
#include "agent/volumes/create.h"
#include "agent/volumes/delete.h"
#include "agent/volumes/mounts.h"
#include "agent/volumes/release.h"
#include "agent/volumes/settings.h"
#include "agent/volumes/turns.h"

namespace plexvol::volumes {

// The parts that have a state, put together once. The others are functions: describe.h, tenants.h,
// force_current.h.
struct UseCases {
  UseCases(store::TypedStore& typed_store, arbiter::Arbiter& the_arbiter,
           mounting::MountCalls& calls, Settings of_node)
      : settings(std::move(of_node)),
        store(typed_store),
        arbiter(the_arbiter),
        creation(store, turns, settings),
        releases(store, settings),
        attachments(store, arbiter, creation, releases, settings),
        mounts(store, creation, attachments, calls, settings),
        deletion(store, releases, settings),
        changes(store.raw()) {}
  UseCases(const UseCases&) = delete;
  UseCases& operator=(const UseCases&) = delete;

  const Settings settings;
  store::TypedStore& store;
  arbiter::Arbiter& arbiter;
  Turns turns;
  Creation creation;
  Releases releases;
  Attachments attachments;
  Mounts mounts;
  Deletion deletion;
  Changes changes;
};

}  // namespace plexvol::volumes
