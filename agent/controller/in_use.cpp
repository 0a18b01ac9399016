#include "agent/controller/in_use.h"

#include <nlohmann/json.hpp>

#include "agent/manifest/persistent_volume.h"

namespace plexvol::controller {

std::array<std::string, 2> in_use_names(const std::string& name) {
  const std::string now = std::string(manifest::kFlexDriver) + '/' + name;
  return {now, "flexvolume-" + now};
}

std::string to_patch_without(const std::vector<std::string>& listed,
                             const std::set<std::string>& names) {
  auto patch = nlohmann::json::array();
  // From its end: a removal moves what stands behind it.
  for (std::size_t index = listed.size(); index-- > 0;) {
    if (!names.contains(listed[index])) continue;
    const std::string path = "/status/volumesInUse/" + std::to_string(index);
    patch.push_back({{"op", "test"}, {"path", path}, {"value", listed[index]}});
    patch.push_back({{"op", "remove"}, {"path", path}});
  }
  return patch.empty() ? "" : patch.dump();
}

}  // namespace plexvol::controller
