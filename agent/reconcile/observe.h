// Looks at what is there of one volume on this node.
#pragma once

#include "agent/reconcile/plan.h"
#include "agent/reconcile/reconciler.h"

namespace plexvol::reconcile {

// The logical volume of DRBD's metadata, beside the data.
std::string metadata_name(const model::Volume& volume);
// As the agent of `here` would configure it. Throws Unavailable while the peer has never announced
// its address.
drbd::Resource to_resource(const Wanted& wanted, const Seen& seen);
// This node has a copy, and is to keep it.
bool copy_stays(const Wanted& wanted);
Pool& get_pool(const Tools& tools, const model::Volume& volume);

// The looks in the order in which one needs the other. Backing devices are the costly one (lvs):
// kept over the rounds of one pass unless an action touched them.
void observe_resource(const Wanted& wanted, const Tools& tools, Seen& seen);
void observe_resource_and_backing(const Wanted& wanted, const Tools& tools, Seen& seen);
void observe_device(const Wanted& wanted, const Tools& tools,
                    Seen& seen);  // configuration, device, link
void observe_use(const Wanted& wanted, const Tools& tools,
                 Seen& seen);  // calls, mounts, users, pods, content

}  // namespace plexvol::reconcile
