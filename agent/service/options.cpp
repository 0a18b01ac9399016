#include "agent/service/options.h"

#include <charconv>
#include <initializer_list>

#include "agent/api/names.h"
#include "agent/filesystem/filesystem.h"

namespace plexvol::service {

namespace {

constexpr const char* kNameKey = "kubernetes.io/pvOrVolumeName";

// The first of the keys that holds anything.
std::string pick(const api::Options& options, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto found = options.find(key);
    if (found != options.end() && !found->second.empty()) return found->second;
  }
  return "";
}

unsigned parse_replicas(const std::string& text) {
  if (text.empty()) return 1;
  unsigned replicas = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), replicas);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw Error(ErrorCode::InvalidArgument,
                "option replicas is \"" + text + "\": it must be a number, 1 or 2");
  }
  check_replicas(replicas);
  return replicas;
}

bool parse_flag(const std::string& name, const std::string& text) {
  if (text.empty() || text == "false") return false;
  if (text == "true") return true;
  throw Error(ErrorCode::InvalidArgument,
              "option " + name + " is \"" + text + "\": it must be \"true\" or \"false\"");
}

}  // namespace

std::string check_fs_type(const std::string& fs_type) {
  if (fs_type.empty()) return "ext4";
  if (fs_type == "ext4" || fs_type == "xfs") return fs_type;
  throw Error(ErrorCode::InvalidArgument,
              "file system type \"" + fs_type + "\" is not offered: ext4 or xfs");
}

void check_replicas(unsigned replicas) {
  if (replicas == 1 || replicas == 2) return;
  throw Error(ErrorCode::InvalidArgument,
              std::to_string(replicas) + " replicas are not possible: 1 or 2");
}

void check_fs_size(const std::string& fs_type, std::uint64_t size_bytes) {
  // mkfs.xfs refuses less since xfsprogs 5.19.
  constexpr std::uint64_t kSmallestXfs = 300ULL << 20;
  if (fs_type == "xfs" && size_bytes < kSmallestXfs) {
    throw Error(ErrorCode::InvalidArgument, "size " + size_to_text(size_bytes) +
                                                " is too small for xfs, which needs " +
                                                size_to_text(kSmallestXfs) + "; ext4 takes less");
  }
}

Wish parse_options(const api::Options& options) {
  Wish wish;
  wish.volume = pick(options, {"volume", "volumeID", kNameKey});
  if (wish.volume.empty()) {
    throw Error(
        ErrorCode::InvalidArgument,
        std::string("the options name no volume: neither volume, volumeID nor ") + kNameKey);
  }
  check_volume_name(wish.volume);
  wish.name = pick(options, {kNameKey});
  if (wish.name.empty()) wish.name = wish.volume;
  check_node_name(wish.name);  // Kubernetes names are of one kind: RFC 1123 subdomains
  if (const std::string size = pick(options, {"size"}); options.contains("size")) {
    wish.size_bytes = parse_size_bytes(size);
  }
  wish.replicas = parse_replicas(pick(options, {"replicas"}));
  wish.pool = pick(options, {"pool", "volumegroup"});
  if (!wish.pool.empty()) check_pool_name(wish.pool);
  wish.fs_type = pick(options, {"fsType", "kubernetes.io/fsType"});
  if (!wish.fs_type.empty()) check_fs_type(wish.fs_type);
  wish.mkfs_options = pick(options, {"mkfsOptions"});
  const auto mount_options = filesystem::parse_mount_options(pick(options, {"mountOptions"}));
  wish.mount_flags = mount_options.flags;
  wish.mount_data = mount_options.data;
  wish.read_only = mount_options.read_only || parse_flag("readOnly", pick(options, {"readOnly"})) ||
                   pick(options, {"kubernetes.io/readwrite"}) == "ro";
  return wish;
}

void check_same_volume(const Wish& wish, const model::Volume& volume) {
  const auto differs = [&](const std::string& what, const std::string& has,
                           const std::string& asks) {
    throw Error(ErrorCode::InvalidArgument,
                "volume " + volume.name + " exists with " + what + " " + has +
                    ", but the options ask for " + asks +
                    ": another volume of the same name? Name each volume differently");
  };
  if (wish.size_bytes && *wish.size_bytes > volume.size_bytes) {
    differs("size", size_to_text(volume.size_bytes), size_to_text(*wish.size_bytes));
  }
  if (!wish.fs_type.empty() && wish.fs_type != volume.fs_type) {
    differs("file system", volume.fs_type, wish.fs_type);
  }
  if (!wish.pool.empty() && wish.pool != volume.pool) differs("pool", volume.pool, wish.pool);
}

}  // namespace plexvol::service
