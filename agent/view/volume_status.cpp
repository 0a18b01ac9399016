#include "agent/view/volume_status.h"

#include <fmt/core.h>

#include <vector>

#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/base/text.h"
#include "agent/view/conditions.h"
#include "agent/view/volume_health.h"

namespace plexvol::view {

namespace {

bool is_good(const api::ReplicaInfo& replica) {
  return replica.alive && replica.made && replica.current;
}

// "n2 (n1)": those in parentheses cannot be used now.
std::string copies_text(const api::VolumeInfo& volume) {
  std::vector<std::string> good;
  std::vector<std::string> others;
  for (const api::ReplicaInfo& replica : volume.replicas) {
    (is_good(replica) ? good : others).push_back(replica.node);
  }
  std::string text = base::join(good, ",");
  if (!others.empty()) {
    text += fmt::format("{}({})", text.empty() ? "" : " ", base::join(others, ","));
  }
  return text;
}

// "default/data on n1"
std::string use_text(const api::VolumeInfo& volume, const VolumeOwner& owner) {
  if (volume.attached_to.empty()) return "";
  const std::string claim = owner.claim_name.empty()
                                ? std::string()
                                : owner.claim_namespace + '/' + owner.claim_name + ' ';
  return fmt::format("{}on {}", claim, volume.attached_to);
}

std::string explain(const VolumeHealth& health) {
  return health.is_bad() ? fmt::format("{}: {}", health.what, health.why) : "";
}

Condition availability(const api::VolumeInfo& volume, const VolumeHealth& health) {
  constexpr const char* kType = "Available";
  switch (health.state) {
    case VolumeHealth::State::Unknown:
      break;
    case VolumeHealth::State::Unavailable:
      return {kType, "False", "NoCopy", explain(health)};
    case VolumeHealth::State::Healthy:
    case VolumeHealth::State::Degraded:
      return {kType, "True", "CopyCurrent", ""};
  }
  if (volume.state != "Unreadable") return {kType, "False", volume.state, ""};
  return {kType, "Unknown", volume.state,
          fmt::format("its record in the store cannot be read: see `plexvol volume show {}`",
                      volume.name)};
}

Condition soundness(const api::VolumeInfo& volume, const VolumeHealth& health) {
  constexpr const char* kType = "Healthy";
  switch (health.state) {
    case VolumeHealth::State::Unknown:
      break;
    case VolumeHealth::State::Healthy:
      return {kType, "True", "AllCopies", ""};
    case VolumeHealth::State::Degraded:
      return {kType, "False", "Degraded", explain(health)};
    case VolumeHealth::State::Unavailable:
      return {kType, "False", "Unavailable", explain(health)};
  }
  return {kType, "Unknown", volume.state, ""};
}

Json replica_json(const api::ReplicaInfo& replica) {
  Json json = {{"node", replica.node}, {"alive", replica.alive},
               {"made", replica.made}, {"current", replica.current},
               {"pool", replica.pool}, {"syncedPercent", static_cast<int>(replica.synced_percent)}};
  const auto add = [&](const char* key, const std::string& text) {
    if (!text.empty()) json[key] = quote_error(text);
  };
  add("role", replica.role);
  add("diskState", replica.disk_state);
  add("connection", replica.connection);
  add("error", replica.error);
  if (replica.left_at != 0) json["leftAt"] = time_to_text(replica.left_at);
  return json;
}

}  // namespace

std::string volume_status(const api::VolumeInfo& volume, const VolumeOwner& owner,
                          const std::string& before, std::int64_t now) {
  Json status = {{"volume", volume.name}, {"state", volume.state}};
  const auto add = [&](const char* key, const std::string& text) {
    if (!text.empty()) status[key] = text;
  };
  if (volume.state != "Unreadable") {
    status["size"] = size_to_text(volume.size_bytes);
    status["sizeBytes"] = volume.size_bytes;
    status["wantedCopies"] = volume.copies;
    status["replicas"] = Json::array();
    for (const api::ReplicaInfo& replica : volume.replicas) {
      status["replicas"].push_back(replica_json(replica));
    }
  }
  add("pool", volume.pool);
  add("fsType", volume.fs_type);
  add("copies", copies_text(volume));
  add("node", volume.attached_to);
  add("usedBy", use_text(volume, owner));
  add("persistentVolume", owner.persistent_volume);
  if (!owner.claim_name.empty()) {
    status["claim"] = {{"namespace", owner.claim_namespace}, {"name", owner.claim_name}};
  }
  add("pending", volume.pending);
  const Json known = parse_status(before);
  for (const char* asked : {kCopiesAsked, kSizeAsked}) {
    if (known.contains(asked)) status[asked] = known[asked];
  }
  const VolumeHealth health = find_health(volume);
  add_condition(status, known, availability(volume, health), now);
  add_condition(status, known, soundness(volume, health), now);
  keep_condition(status, known, kRequestDone);
  return status.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace plexvol::view
