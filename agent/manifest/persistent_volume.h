// A volume as the Kubernetes objects that pods find it by. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace plexvol::manifest {

inline constexpr const char* kFlexDriver = "plexvol/plexvol";

// What a PersistentVolume with a FlexVolume source says. Whoever fills it has checked it; "" and
// empty lists are left out of the object.
struct PersistentVolumeSpec {
  // The node has this label, with one of these values.
  struct LabelRule {
    std::string label;
    std::vector<std::string> values;
  };

  std::string name;
  std::uint64_t size_bytes = 0;
  std::string driver = kFlexDriver;
  std::string fs_type;
  std::map<std::string, std::string> options;
  std::vector<std::string> access_modes = {"ReadWriteOnce"};
  std::string reclaim_policy = "Retain";
  std::string storage_class;
  std::map<std::string, std::string> annotations;
  // The only claim that it may be bound to; all empty: any that fits.
  std::string claim_namespace;
  std::string claim_name;
  std::string claim_uid;            // "": whichever claim has this name
  std::vector<LabelRule> affinity;  // all of them have to hold where a pod may run
  bool read_only = false;
};

// A complete PersistentVolume (core/v1) as JSON text, its keys in the order of the alphabet, as
// kubectl shows objects.
std::string to_json(const PersistentVolumeSpec& volume);
// The PersistentVolumeClaim that it names, bound to it and no other by its name. The claim's class
// is the volume's, also when that is "": a claim without one gets the cluster's default class.
std::string claim_to_json(const PersistentVolumeSpec& volume);

// As Kubernetes writes a size: "10Gi", "1536Mi", or bytes where no binary unit fits exactly.
std::string to_quantity(std::uint64_t bytes);

}  // namespace plexvol::manifest
