// A kubelet's directory with a pod's volume directory in it, on a file system of its own. For tests
// that run as root.
#pragma once

#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "agent/filesystem/filesystem.h"
#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::support {

// On ext4, which has the immutable flag, or on ramfs, which has not.
class KubeletDirectory {
 public:
  explicit KubeletDirectory(bool has_flag)
      : device_(directory_.path() / "image", 64U << 20U), mount_(make(has_flag)) {
    std::filesystem::create_directories(pod());
  }
  KubeletDirectory(const KubeletDirectory&) = delete;
  KubeletDirectory& operator=(const KubeletDirectory&) = delete;
  ~KubeletDirectory() {
    while (umount2(pod().c_str(), UMOUNT_NOFOLLOW) == 0) {
    }
  }

  std::string pods() const { return mount_.point() + "/pods"; }
  // Of the pod "6f0c2f9e".
  std::string pod() const { return pods() + "/6f0c2f9e/volumes/plexvol~plexvol/data"; }
  bool can_write() const { return std::ofstream(pod() + "/file").put('x').good(); }

 private:
  Mount make(bool has_flag) const {
    const auto point = directory_.path() / "kubelet";
    if (!has_flag) return {"ramfs", point, "ramfs"};
    process::BoostRunner runner;
    filesystem::Filesystem(runner).make({.device = device_.path(),
                                         .type = "ext4",
                                         .uuid = "01234567-89ab-cdef-0123-456789abcdef",
                                         .options = {}});
    return {device_.path(), point, "ext4"};
  }

  TemporaryDirectory directory_;
  LoopDevice device_;
  Mount mount_;
};

}  // namespace plexvol::support
