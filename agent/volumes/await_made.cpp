#include "agent/volumes/await_made.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "agent/volumes/describe.h"

namespace plexvol::volumes {

namespace keys = store::keys;

void await_announced(store::TypedStore& store, const std::string& here, const Call& call) {
  Awaiter awaiter(store.raw(), {keys::alive(here), keys::node(here)});
  const auto look = [&]() -> std::optional<bool> {
    if (store.is_alive(here) && store.find_node(here)) return true;
    return std::nullopt;
  };
  awaiter.until<bool>(call, look, [&] {
    return fmt::format("waiting for the agent on {} to register its node", here);
  });
}

void await_made(store::TypedStore& store, const model::Volume& volume, const Call& call) {
  std::vector<std::string> watched{keys::volume(volume.name)};
  for (const std::string& node : volume.nodes()) watched.push_back(keys::status(node, volume.name));
  Awaiter awaiter(store.raw(), watched);
  const auto say = [&](const std::string& node) {
    const auto status = store.find_status(node, volume.name);
    return status ? status->error : "";
  };
  const auto made = [&]() -> std::optional<bool> {
    const auto now = store.find_volume(volume.name);
    if (!now || now->value.id != volume.id) {
      throw Error(ErrorCode::Conflict, fmt::format("volume {} was deleted meanwhile", volume.name));
    }
    for (const model::Replica& replica : now->value.replicas) {
      if (replica.made) continue;
      const auto status = store.find_status(replica.node, volume.name);
      if (status && !status->error.empty() && status->error_code != ErrorCode::Unavailable) {
        throw Error(
            status->error_code,
            fmt::format(
                "volume {0}: {1} cannot create its replica: {2}; {3}to undo this, run `plexvol "
                "volume delete {0}`",
                volume.name, replica.node, status->error,
                volume.wanted_copies() > 1 ? "another node with room will create it; " : ""));
      }
      return std::nullopt;
    }
    return true;
  };
  awaiter.until<bool>(call, made, [&] {
    std::string text =
        fmt::format("waiting for the replicas of volume {} to be created", volume.name);
    for (const std::string& node : volume.nodes()) {
      const std::string said = say(node);
      if (!said.empty()) text.append("; ").append(node).append(": ").append(said);
    }
    return text;
  });
}

api::VolumeInfo await_first_connection(store::TypedStore& store, const model::Volume& volume,
                                       const Call& call) {
  if (volume.wanted_copies() == 1) return show_volume(store, volume.name);
  constexpr std::chrono::seconds kMostTime(10);
  const Call brief{
      .deadline = std::min(call.deadline, std::chrono::steady_clock::now() + kMostTime),
      .stop = call.stop};
  std::vector<std::string> watched{keys::volume(volume.name), keys::current(volume.name)};
  for (const std::string& node : volume.nodes()) watched.push_back(keys::alive(node));
  for (const std::string& node : volume.nodes()) watched.push_back(keys::status(node, volume.name));
  Awaiter awaiter(store.raw(), watched);
  const auto settled = [&]() -> std::optional<api::VolumeInfo> {
    api::VolumeInfo shown = show_volume(store, volume.name);
    const bool hopeless = std::any_of(
        shown.replicas.begin(), shown.replicas.end(),
        [](const api::ReplicaInfo& replica) { return !replica.alive || !replica.error.empty(); });
    if (shown.state == "Ready" || hopeless) return shown;
    return std::nullopt;
  };
  try {
    return awaiter.until<api::VolumeInfo>(brief, settled,
                                          [] { return std::string("waiting for the replicas"); });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Unavailable) throw;
    return show_volume(store, volume.name);
  }
}

}  // namespace plexvol::volumes
