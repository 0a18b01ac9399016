#include "agent/volumes/new_volume.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/api/protocol.h"
#include "agent/base/text.h"

namespace plexvol::volumes {

std::string check_fs_type(const std::string& fs_type) {
  if (fs_type.empty()) return "ext4";
  if (fs_type == "ext4" || fs_type == "xfs") return fs_type;
  throw Error(ErrorCode::InvalidArgument,
              fmt::format("file system type \"{}\" is not supported; use ext4 or xfs", fs_type));
}

void check_replicas(unsigned replicas) {
  if (replicas == 1 || replicas == 2) return;
  throw Error(ErrorCode::InvalidArgument,
              fmt::format("{} replicas are not supported; use 1 or 2", replicas));
}

namespace {

void check_fs_size(const std::string& fs_type, std::uint64_t size_bytes) {
  // mkfs.xfs refuses less since xfsprogs 5.19.
  constexpr std::uint64_t kSmallestXfs = 300ULL << 20;
  if (fs_type == "xfs" && size_bytes < kSmallestXfs) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("size {} is too small for xfs, which needs {}; ext4 takes less",
                            size_to_text(size_bytes), size_to_text(kSmallestXfs)));
  }
}

void check_first_node(const NewVolume& wanted) {
  if (wanted.first_node.empty()) return;
  check_node_name(wanted.first_node);
  const bool is_named =
      std::find(wanted.nodes.begin(), wanted.nodes.end(), wanted.first_node) != wanted.nodes.end();
  if (wanted.nodes.empty() || is_named) return;
  throw Error(
      ErrorCode::InvalidArgument,
      fmt::format("volume {}: node {} must have a copy, but is not among the named nodes {}",
                  wanted.name, wanted.first_node, base::join(wanted.nodes)));
}

}  // namespace

void check(const NewVolume& wanted) {
  check_new_volume_name(wanted.name);
  for (const std::string& node : wanted.nodes) check_node_name(node);
  check_first_node(wanted);
  if (!wanted.pool.empty()) check_pool_name(wanted.pool);
  if (!wanted.tenant.empty() && wanted.tenant != api::kAnyNamespace) check_namespace(wanted.tenant);
  check_replicas(wanted.replicas);
  check_fs_size(check_fs_type(wanted.fs_type), wanted.size_bytes);
}

}  // namespace plexvol::volumes
