#include "agent/volumes/witness.h"

namespace plexvol::volumes {

std::optional<std::string> find_witness(const model::Volume& volume, const std::string& node,
                                        store::TypedStore& store) {
  if (volume.find_replica(node) == nullptr) return std::nullopt;
  for (const std::string& other : volume.concerned_nodes()) {
    if (other == node || !store.is_alive(other)) continue;
    const auto status = store.find_status(other, volume.name);
    if (status && status->connection == "Connected") return other;
  }
  return std::nullopt;
}

}  // namespace plexvol::volumes
