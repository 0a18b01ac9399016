#include "agent/volumes/resize.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/model/codec.h"
#include "agent/placement/placement.h"
#include "agent/volumes/describe.h"
#include "agent/volumes/lookup.h"

namespace plexvol::volumes {

namespace {

using store::Change;
namespace keys = store::keys;

void check(const model::Volume& volume, std::uint64_t size_bytes) {
  if (volume.deleting) {
    throw Error(ErrorCode::Conflict, fmt::format("volume {} is being deleted", volume.name));
  }
  if (size_bytes < volume.size_bytes) {
    throw Error(
        ErrorCode::InvalidArgument,
        fmt::format("volume {} has {} and cannot be made smaller: a file system on it may use "
                    "all of that; create a volume of {} and copy the data",
                    volume.name, size_to_text(volume.size_bytes), size_to_text(size_bytes)));
  }
  if (volume.mirror_is_to_go()) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("volume {} has one replica left, and DRBD, which lets no volume grow "
                            "without its peer, goes once the volume is not in use; it can be made "
                            "larger then",
                            volume.name));
  }
  if (volume.nodes().size() < volume.wanted_copies()) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("volume {} has lost a copy, and DRBD lets no volume grow without its "
                            "peer; it can be made larger once it has two copies again, see "
                            "`plexvol volume show {}`",
                            volume.name, volume.name));
  }
}

// By what it grows. A cordon keeps new copies away, not those that are there.
void check_room(store::TypedStore& store, const model::Volume& volume, std::uint64_t more_bytes) {
  try {
    placement::place_within_promises(
        {.size_bytes = more_bytes,
         .replicas = static_cast<unsigned>(volume.nodes().size()),
         .mirrored = volume.wanted_copies() > 1,
         .drbd = "",
         .pool = volume.pool,
         .nodes = volume.nodes(),
         .asking = "",
         .barred = {},
         .promised = {},
         .volume = volume.name},
        store.list_nodes(), store.list_alive_nodes(), [&](const std::string& node) {
          return placement::promises_of(node, store.list_volumes_on(node));
        });
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("volume {} cannot grow by {}: {}", volume.name,
                                          size_to_text(more_bytes), error.what()));
  }
}

}  // namespace

model::Volume resize(store::TypedStore& store, Turns& turns, const std::string& name,
                     const NewSize& size) {
  check_volume_name(name);
  const auto turn = turns.take();
  constexpr int kMaxRaces = 20;
  for (int race = 0; race < kMaxRaces; ++race) {
    // Before the volume: what is placed there afterwards counts with its size as it is now.
    const model::Volume before = get_volume(store, name);
    Change change;
    for (const std::string& node : before.nodes()) {
      const auto placed = store.raw().get(keys::placement(node));
      change.require(keys::placement(node), placed ? placed->revision : 0);
      change.put(keys::placement(node), before.id);
    }
    const auto found = store.find_volume(name);
    if (!found || found->value.id != before.id) continue;
    model::Volume volume = found->value;
    const std::uint64_t size_bytes =
        size.at_least ? std::max(size.bytes, volume.size_bytes) : size.bytes;
    check(volume, size_bytes);
    if (size_bytes == volume.size_bytes) return volume;
    check_room(store, volume, size_bytes - volume.size_bytes);
    volume.size_bytes = size_bytes;
    // Also of what was never formatted: that may be done before the device has grown.
    volume.filesystem_grows = true;
    change.require(keys::volume(name), found->revision);
    change.put(keys::volume(name), model::to_json(volume)).wake(volume);
    if (store.commit(change)) return volume;
  }
  throw Error(ErrorCode::Unavailable,
              fmt::format("volume {}: changed concurrently; try again", name));
}

namespace {

// What is still to be done, where and why not yet; "": nothing.
std::string find_missing(store::TypedStore& store, const model::Volume& volume) {
  std::string missing;
  std::vector<std::pair<std::string, std::optional<model::Status>>> copies;
  for (const std::string& node : volume.nodes()) {
    copies.emplace_back(node, store.find_status(node, volume.name));
  }
  // A mirror that nobody uses grows when it is used next.
  const bool is_used = std::ranges::any_of(
      copies, [](const auto& copy) { return copy.second && !copy.second->mounts.empty(); });
  if (volume.wanted_copies() > 1 && !is_used) return "";
  for (const auto& [node, status] : copies) {
    const bool is_smaller = !status || status->device_bytes < volume.size_bytes;
    const bool waits = status && volume.filesystem_grows && !status->mounts.empty();
    if (!is_smaller && !waits) continue;
    if (status && status->error.starts_with(model::kGrowthFailed)) {
      throw Error(ErrorCode::Unavailable,
                  fmt::format("volume {} on {}: {}; it is tried again every minute", volume.name,
                              node, status->error));
    }
    if (!missing.empty()) missing += ", and for ";
    missing += is_smaller ? fmt::format("{} to extend its copy", node)
                          : fmt::format("the file system on {} to grow", node);
    if (status && !status->error.empty()) missing += " (" + status->error + ")";
  }
  if (!missing.empty() && volume.wanted_copies() > 1) {
    missing += "; that takes both nodes, connected and in sync";
  }
  return missing;
}

}  // namespace

api::VolumeInfo resize_and_await(store::TypedStore& store, Turns& turns, const std::string& name,
                                 const NewSize& size, const Call& call) {
  const model::Volume volume = resize(store, turns, name, size);
  call.is_about(name);
  std::vector<std::string> watched{keys::volume(name)};
  for (const std::string& node : volume.nodes()) watched.push_back(keys::status(node, name));
  Awaiter awaiter(store.raw(), watched);
  std::string missing;
  const auto grown = [&]() -> std::optional<api::VolumeInfo> {
    const auto now = store.find_volume(name);
    if (!now || now->value.id != volume.id) {
      throw Error(ErrorCode::Conflict, fmt::format("volume {} was deleted meanwhile", name));
    }
    missing = find_missing(store, now->value);
    if (!missing.empty()) return std::nullopt;
    return show_volume(store, name);
  };
  return awaiter.until<api::VolumeInfo>(call, grown, [&] {
    return fmt::format("volume {} will have {}: waiting for {}", name,
                       size_to_text(volume.size_bytes), missing);
  });
}

}  // namespace plexvol::volumes
