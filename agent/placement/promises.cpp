#include "agent/placement/promises.h"

#include <fmt/core.h>

#include "agent/drbd/metadata.h"

namespace plexvol::placement {

std::uint64_t needed_bytes(std::uint64_t size_bytes, bool mirrored) {
  return size_bytes + (mirrored ? drbd::metadata_size_bytes(size_bytes) : 0);
}

namespace {

void add(const model::Volume& volume, const std::string& node, Promises& promises) {
  const std::uint64_t bytes = needed_bytes(volume.size_bytes, volume.wanted_copies() > 1);
  const model::Replica* replica = volume.find_replica(node);
  Promise& promise = promises[volume.pool];
  promise.bytes += bytes;
  if (replica != nullptr && !replica->made) promise.unmade_bytes += bytes;
}

}  // namespace

std::map<std::string, Promises> list_promises(const std::vector<model::Volume>& volumes) {
  std::map<std::string, Promises> promises;
  for (const model::Volume& volume : volumes) {
    for (const std::string& node : volume.concerned_nodes()) add(volume, node, promises[node]);
  }
  return promises;
}

Promises promises_of(const std::string& node, const std::vector<model::Volume>& volumes) {
  Promises promises;
  for (const model::Volume& volume : volumes) {
    if (volume.concerns(node)) add(volume, node, promises);
  }
  return promises;
}

std::string percent_text(std::uint64_t bytes, std::uint64_t total_bytes) {
  if (total_bytes == 0) return "0%";
  const double percent = static_cast<double>(bytes) / static_cast<double>(total_bytes) * 100;
  return fmt::format("{}%", static_cast<std::uint64_t>(percent));
}

}  // namespace plexvol::placement
