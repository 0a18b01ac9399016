#include "agent/manifest/persistent_volume.h"

#include <array>

#include <nlohmann/json.hpp>

namespace plexvol::manifest {

namespace {

using Json = nlohmann::json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Empty members are no members.
template <class T>
void add(Json& json, const char* name, const T& value) {
  if (!value.empty()) json[name] = value;
}

Json source_of(const PersistentVolumeSpec& volume) {
  Json source{{"driver", volume.driver}};
  add(source, "fsType", volume.fs_type);
  add(source, "options", volume.options);
  if (volume.read_only) source["readOnly"] = true;
  return source;
}

Json claim_reference(const PersistentVolumeSpec& volume) {
  Json reference{{"apiVersion", "v1"},
                 {"kind", "PersistentVolumeClaim"},
                 {"namespace", volume.claim_namespace},
                 {"name", volume.claim_name}};
  add(reference, "uid", volume.claim_uid);
  return reference;
}

// Expressions of one term all have to hold; of several terms, one.
Json affinity_of(const std::vector<PersistentVolumeSpec::LabelRule>& rules) {
  Json expressions = Json::array();
  for (const auto& rule : rules) {
    expressions.push_back({{"key", rule.label}, {"operator", "In"}, {"values", rule.values}});
  }
  Json term = Json::object();
  term["matchExpressions"] = expressions;
  Json required = Json::object();
  required["nodeSelectorTerms"] = Json::array({term});
  Json affinity = Json::object();
  affinity["required"] = required;
  return affinity;
}

}  // namespace

std::string to_quantity(std::uint64_t bytes) {
  constexpr std::array kSuffixes{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  std::size_t suffix = 0;
  while (bytes != 0 && bytes % 1024 == 0 && suffix + 1 < kSuffixes.size()) {
    bytes /= 1024;
    ++suffix;
  }
  return std::to_string(bytes) + kSuffixes.at(suffix);
}

std::string to_json(const PersistentVolumeSpec& volume) {
  Json metadata{{"name", volume.name}};
  add(metadata, "annotations", volume.annotations);
  Json spec{{"capacity", {{"storage", to_quantity(volume.size_bytes)}}},
            {"flexVolume", source_of(volume)}};
  add(spec, "accessModes", volume.access_modes);
  add(spec, "persistentVolumeReclaimPolicy", volume.reclaim_policy);
  add(spec, "storageClassName", volume.storage_class);
  if (!volume.claim_name.empty()) spec["claimRef"] = claim_reference(volume);
  if (!volume.affinity.empty()) spec["nodeAffinity"] = affinity_of(volume.affinity);
  return dump(
      {{"apiVersion", "v1"}, {"kind", "PersistentVolume"}, {"metadata", metadata}, {"spec", spec}});
}

std::string claim_to_json(const PersistentVolumeSpec& volume) {
  const Json resources{{"requests", {{"storage", to_quantity(volume.size_bytes)}}}};
  Json spec{{"resources", resources},
            {"storageClassName", volume.storage_class},
            {"volumeName", volume.name}};
  add(spec, "accessModes", volume.access_modes);
  return dump({{"apiVersion", "v1"},
               {"kind", "PersistentVolumeClaim"},
               {"metadata", {{"name", volume.claim_name}, {"namespace", volume.claim_namespace}}},
               {"spec", spec}});
}

}  // namespace plexvol::manifest
