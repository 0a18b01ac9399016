// A formatted loop device, and where it can be mounted.
#pragma once

#include <string>

#include "agent/filesystem/filesystem.h"
#include "agent/filesystem/find_use.h"
#include "agent/filesystem/kill_users.h"
#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/namespace_child.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::filesystem {

inline constexpr const char* kUuid = "01234567-89ab-cdef-0123-456789abcdef";

struct FormattedVolume {
  support::TemporaryDirectory around;
  support::TemporaryDirectory directory;
  support::SharedFolder shared{around.path().string()};
  support::LoopDevice device{directory.path() / "image", 64U << 20U};
  std::string point = (around.path() / "mnt").string();

  explicit FormattedVolume(const std::string& type = "ext4") { format(device.path(), type); }

  static void format(const std::string& path, const std::string& type = "ext4") {
    process::BoostRunner runner;
    Filesystem(runner).make({.device = path, .type = type, .uuid = kUuid, .options = {}});
  }
  DeviceUse use() const { return find_use(device.major(), device.minor()); }
  void kill() const { kill_users(device.major(), device.minor()); }
};

// "" when this process is none of the users.
inline std::string what_of(const DeviceUse& use, pid_t pid) {
  for (const User& user : use.users) {
    if (user.pid == pid) return user.what;
  }
  return "";
}

}  // namespace plexvol::filesystem
