// What each copy of a volume lacks, from what their nodes know of each other.
#pragma once

#include <vector>

#include "agent/api/protocol.h"
#include "agent/model/model.h"

namespace plexvol::volumes {

// DRBD counts on each node what differs between the two, whichever of them lacks it. A copy of the
// current set lacks nothing; one that is away lacks at least what a current one has counted; one
// that is connected knows by itself what is still on its way. `replicas` come with their nodes' own
// counts.
void attribute_lacks(const model::Volume& volume, std::vector<api::ReplicaInfo>& replicas);

}  // namespace plexvol::volumes
