#include "agent/controller/storage_class.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/text.h"

namespace plexvol::controller {

namespace {

constexpr const char* kFsType = "fsType";
constexpr const char* kCsiFsType = "csi.storage.k8s.io/fstype";
constexpr std::array<std::string_view, 6> kKnown{"copies",      kCsiFsType,     kFsType,
                                                 "mkfsOptions", "mountOptions", "pool"};

[[noreturn]] void refuse(const kube::StorageClass& storage_class, const std::string& why) {
  throw Error(ErrorCode::InvalidArgument,
              fmt::format("StorageClass {}: {}", storage_class.meta.name, why));
}

std::string value_of(const kube::StorageClass& storage_class, const std::string& name) {
  const auto found = storage_class.parameters.find(name);
  return found == storage_class.parameters.end() ? "" : found->second;
}

unsigned parse_copies(const kube::StorageClass& storage_class) {
  const std::string text = value_of(storage_class, "copies");
  if (text.empty() || text == "1") return 1;
  if (text == "2") return 2;
  refuse(storage_class, fmt::format("parameter copies is {}: it must be 1 or 2", in_quotes(text)));
}

}  // namespace

ClassParameters parse_parameters(const kube::StorageClass& storage_class) {
  for (const auto& [name, value] : storage_class.parameters) {
    if (std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end()) continue;
    refuse(storage_class, fmt::format("parameter {} is unknown; known parameters: {}",
                                      in_quotes(name), base::join({kKnown.begin(), kKnown.end()})));
  }
  const std::string fs_type = value_of(storage_class, kFsType);
  const std::string csi_fs_type = value_of(storage_class, kCsiFsType);
  if (!fs_type.empty() && !csi_fs_type.empty() && fs_type != csi_fs_type) {
    refuse(storage_class,
           fmt::format("parameters {} and {} contradict each other", kFsType, kCsiFsType));
  }
  std::vector<std::string> mount_options = storage_class.mount_options;
  if (const std::string more = value_of(storage_class, "mountOptions"); !more.empty()) {
    mount_options.push_back(more);
  }
  return {.copies = parse_copies(storage_class),
          .pool = value_of(storage_class, "pool"),
          .fs_type = fs_type.empty() ? csi_fs_type : fs_type,
          .mkfs_options = value_of(storage_class, "mkfsOptions"),
          .mount_options = base::join(mount_options, ",")};
}

}  // namespace plexvol::controller
