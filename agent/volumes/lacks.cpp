#include "agent/volumes/lacks.h"

#include <algorithm>

namespace plexvol::volumes {

void attribute_lacks(const model::Volume& volume, std::vector<api::ReplicaInfo>& replicas) {
  const std::vector<api::ReplicaInfo> counted = replicas;
  for (api::ReplicaInfo& info : replicas) {
    const model::Replica* replica = volume.find_replica(info.node);
    info.made = replica != nullptr && replica->made;
    const bool receives = info.alive && info.connection == "Connected";
    if (info.current) {
      info.synced_percent = 100;
      info.out_of_sync_bytes = 0;
    } else if (!info.made) {
      info.synced_percent = 0;
      info.out_of_sync_bytes = volume.size_bytes;
    } else if (!receives) {
      info.lacks_more = true;
      info.out_of_sync_bytes = 0;
      for (const api::ReplicaInfo& other : counted) {
        if (!other.current) continue;
        info.synced_percent = std::min(info.synced_percent, other.synced_percent);
        info.out_of_sync_bytes = std::max(info.out_of_sync_bytes, other.out_of_sync_bytes);
      }
    }
  }
}

}  // namespace plexvol::volumes
