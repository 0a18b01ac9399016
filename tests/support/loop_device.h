// A loop device on a sparse file, and a mount of one; both gone afterwards. For tests that run as
// root.
#pragma once

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "agent/process/boost_runner.h"

namespace plexvol::support {

// Says why, once, in the test that is left out.
inline bool can_use_loop_devices() {
  if (geteuid() == 0 && access("/dev/loop-control", R_OK | W_OK) == 0) return true;
  MESSAGE("left out: it needs root and loop devices");
  return false;
}

inline void make_sparse_file(const std::filesystem::path& path, std::uint64_t size_bytes) {
  process::BoostRunner runner;
  process::run_checked(
      runner, {.argv = {"/usr/bin/truncate", "-s", std::to_string(size_bytes), path.string()},
               .input = {}});
}

class LoopDevice {
 public:
  LoopDevice(const std::filesystem::path& file, std::uint64_t size_bytes) {
    make_sparse_file(file, size_bytes);
    process::BoostRunner runner;
    path_ = process::run_checked(
                runner, {.argv = {"/sbin/losetup", "--find", "--show", file.string()}, .input = {}})
                .out;
    path_.pop_back();
  }
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  ~LoopDevice() {
    process::BoostRunner runner;
    runner.run({.argv = {"/sbin/losetup", "--detach", path_}, .input = {}});
  }

  const std::string& path() const { return path_; }
  unsigned major() const { return ::major(number()); }
  unsigned minor() const { return ::minor(number()); }

 private:
  dev_t number() const {
    struct stat status {};
    if (stat(path_.c_str(), &status) != 0) throw std::runtime_error("no " + path_);
    return status.st_rdev;
  }

  std::string path_;
};

class Mount {
 public:
  Mount(const std::string& device, const std::filesystem::path& point, const char* type)
      : point_(point.string()) {
    std::filesystem::create_directories(point);
    if (mount(device.c_str(), point_.c_str(), type, 0, nullptr) != 0) {
      throw std::runtime_error("cannot mount " + device);
    }
  }
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;
  ~Mount() { umount2(point_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW); }

  const std::string& point() const { return point_; }

 private:
  std::string point_;
};

}  // namespace plexvol::support
