// Which volume of ours a PV, or what a pod has inline, stands for.
#pragma once

#include <string>

#include "agent/kube/objects.h"
#include "agent/manifest/persistent_volume.h"

namespace plexvol::controller {

// As the driver reads it: the option "volume", else the PV's own name. "": it is none of ours.
inline std::string volume_of(const kube::PersistentVolume& volume) {
  if (volume.flex_driver != manifest::kFlexDriver) return "";
  const auto named = volume.flex_options.find("volume");
  return named == volume.flex_options.end() ? volume.meta.name : named->second;
}

// "": it does not say.
inline std::string volume_of(const kube::InlineVolume& volume) {
  const auto named = volume.options.find("volume");
  return named == volume.options.end() ? "" : named->second;
}

}  // namespace plexvol::controller
