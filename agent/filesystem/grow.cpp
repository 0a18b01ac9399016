#include "agent/filesystem/grow.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "agent/api/error.h"
#include "agent/base/files.h"
#include "agent/base/text.h"
#include "agent/process/child.h"
#include "agent/process/namespaces.h"

namespace plexvol::filesystem {

namespace {

// ext4 writes a descriptor for each 128 MiB.
constexpr std::chrono::seconds kGrowLimit{120};
constexpr int kNoMount = 126;       // no errno of these calls
constexpr int kNoHostMounts = 127;  // the same

// The kernel's fs/ext4/ext4.h and fs/xfs/libxfs/xfs_fs.h, which are part of its stable interface.
constexpr unsigned long kExt4Resize = _IOW('f', 16, std::uint64_t);
struct XfsGeometry {  // xfs_fsop_geom_v1
  std::uint32_t block_size;
  std::uint32_t unused1[6];
  std::uint32_t inode_percent;
  std::uint64_t blocks;
  std::uint64_t unused2[3];
  unsigned char uuid[16];
  std::uint32_t unused3[7];
};
static_assert(sizeof(XfsGeometry) == 112);
constexpr unsigned long kXfsGeometry = _IOR('X', 100, XfsGeometry);
struct XfsGrowth {  // xfs_growfs_data
  std::uint64_t blocks;
  std::uint32_t inode_percent;
};
constexpr unsigned long kXfsGrow = _IOW('X', 110, XfsGrowth);

int grow_ext4(int root, std::uint64_t size_bytes) {
  struct statfs status {};
  if (fstatfs(root, &status) != 0) return errno;
  std::uint64_t blocks = size_bytes / static_cast<std::uint64_t>(status.f_bsize);
  return ioctl(root, kExt4Resize, &blocks) == 0 ? 0 : errno;
}

int grow_xfs(int root, std::uint64_t size_bytes) {
  XfsGeometry geometry{};
  if (ioctl(root, kXfsGeometry, &geometry) != 0) return errno;
  const std::uint64_t blocks = size_bytes / geometry.block_size;
  // Newer kernels would make it smaller.
  if (blocks <= geometry.blocks) return 0;
  XfsGrowth growth{.blocks = blocks, .inode_percent = geometry.inode_percent};
  return ioctl(root, kXfsGrow, &growth) == 0 ? 0 : errno;
}

struct Order {
  bool is_xfs;
  unsigned major;
  unsigned minor;
  std::uint64_t size_bytes;
};

// System calls only. One mount of several may be read-only, or lie below another mount.
int grow_at_any(const Order& order, const std::vector<std::string>& mounts, bool is_in_host) {
  if (!is_in_host && !process::enter_host_mount_namespace()) return kNoHostMounts;
  int result = kNoMount;
  for (const std::string& mount : mounts) {
    const int root = open(mount.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (root < 0) continue;
    struct stat status {};
    const bool leads_there = fstat(root, &status) == 0 && ::major(status.st_dev) == order.major &&
                             ::minor(status.st_dev) == order.minor;
    if (leads_there) {
      result = order.is_xfs ? grow_xfs(root, order.size_bytes) : grow_ext4(root, order.size_bytes);
      if (result != EROFS) return result;
    }
    close(root);
  }
  return result;
}

}  // namespace

void grow_mounted(const std::string& type, unsigned major, unsigned minor, std::uint64_t size_bytes,
                  const std::vector<std::string>& mounts) {
  const Order order{
      .is_xfs = type == "xfs", .major = major, .minor = minor, .size_bytes = size_bytes};
  const bool is_in_host = process::in_host_mount_namespace();
  const std::string where = base::join(mounts);
  const auto result = process::run_in_child([&] { return grow_at_any(order, mounts, is_in_host); },
                                            kGrowLimit, "the file system on " + where);
  const std::string what = fmt::format("growing the {} file system on {}", type, where);
  if (!result) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("{} takes longer than {} s", what, kGrowLimit.count()));
  }
  switch (*result) {
    case 0:
      return;
    case EROFS:
      throw Error(ErrorCode::Unavailable,
                  what + " waits until it is mounted for writing: it is read-only there");
    case kNoMount:
      throw Error(ErrorCode::Unavailable, what + " failed: it is mounted there no longer");
    case kNoHostMounts:
      throw Error(ErrorCode::Internal,
                  what +
                      " failed: cannot enter the mount namespace of process 1; run the agent "
                      "privileged and in the host's PID namespace");
    default:
      throw Error(ErrorCode::Internal, fmt::format("{} failed: {}; the kernel's log may say more",
                                                   what, base::error_text(*result)));
  }
}

}  // namespace plexvol::filesystem
