#include "agent/controller/in_use.h"

#include <string_view>

#include <nlohmann/json.hpp>

#include "agent/manifest/persistent_volume.h"

namespace plexvol::controller {

namespace {

// "": it is none of ours.
std::string name_of(std::string_view listed) {
  constexpr std::string_view kFormerly = "flexvolume-";
  if (listed.starts_with(kFormerly)) listed.remove_prefix(kFormerly.size());
  const std::string ours = std::string(manifest::kFlexDriver) + '/';
  return listed.starts_with(ours) ? std::string(listed.substr(ours.size())) : "";
}

}  // namespace

std::string to_patch_without(const std::vector<std::string>& listed,
                             const std::set<std::string>& names) {
  auto patch = nlohmann::json::array();
  // From its end: a removal moves what stands behind it.
  for (std::size_t index = listed.size(); index-- > 0;) {
    if (!names.contains(name_of(listed[index]))) continue;
    const std::string path = "/status/volumesInUse/" + std::to_string(index);
    patch.push_back({{"op", "test"}, {"path", path}, {"value", listed[index]}});
    patch.push_back({{"op", "remove"}, {"path", path}});
  }
  return patch.empty() ? "" : patch.dump();
}

}  // namespace plexvol::controller
