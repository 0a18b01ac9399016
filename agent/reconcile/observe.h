// Looks at what is there of one volume on this node.
#pragma once

#include "agent/reconcile/plan.h"
#include "agent/reconcile/tools.h"

namespace plexvol::reconcile {

// As the agent of `here` would configure it. Throws Unavailable while the peer has never announced
// its address.
drbd::Resource to_resource(const Wanted& wanted, const Seen& seen);
// How large the copy here is made. Those of a mirrored volume must be of one size, which each node
// rounds up to the extents of its own group: so to what both groups' extents divide. A copy that is
// to be filled is not smaller than the one that fills it; DRBD uses what both have. Throws
// Unavailable while the peer has never announced its node.
std::uint64_t copy_size_bytes(const Wanted& wanted);
// This node has a copy, and is to keep it.
bool copy_stays(const Wanted& wanted);
Pool& get_pool(const Tools& tools, const model::Volume& volume);

// 0: there is no such device. It is not opened.
std::uint64_t device_size_bytes(const std::string& device);

// The looks in the order in which one needs the other. Backing devices are the costly one (lvs):
// kept over the rounds of one pass unless an action touched them.
void observe_resource(const Wanted& wanted, const Tools& tools, Seen& seen);
void observe_resource_and_backing(const Wanted& wanted, const Tools& tools, Seen& seen);
void observe_device(const Wanted& wanted, const Tools& tools,
                    Seen& seen);  // configuration, device, link
void observe_use(const Wanted& wanted, const Tools& tools,
                 Seen& seen);  // calls, mounts, users, pods, content
// What plan_arbitration() asks for: nothing of it waits for lvm2, or for a file system. Of backing
// devices only those are seen that DRBD has open.
void observe_for_arbitration(const Wanted& wanted, const Tools& tools, Seen& seen);

}  // namespace plexvol::reconcile
