// Sparse files on loop devices: volumes for trying it out and for the tests, where there is no LVM.
//
// `<directory>/<name>.img` is the data. Tags live in `<directory>/<name>.tags`, one a line, written
// atomically before the image is made, so that an image without them is never ours.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/process/runner.h"

namespace plexvol::filepool {

struct Image {
  std::string name;
  std::string path;    // of the file
  std::string device;  // /dev/loopN, "" while no loop device is set up
  std::uint64_t size_bytes = 0;
  std::vector<std::string> tags;
};

struct Space {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
};

// A file by number: the name of a loop device's file depends on the mount namespace it was set up
// in, which is gone when the agent's container has been replaced.
struct FileNumber {
  unsigned major = 0;
  unsigned minor = 0;
  std::uint64_t inode = 0;

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the zero of an order for a pointer
  auto operator<=>(const FileNumber&) const = default;
};

struct LoopDevice {
  std::string device;        // /dev/loopN
  std::string backing_file;  // any bytes; with " (deleted)" behind it once it was
};

// Those that are on a file, as the kernel shows them in /sys: losetup's list cannot hold the names
// of all files. Throws Error(Internal) when /sys cannot be read.
std::vector<LoopDevice> list_loop_devices();
// The same by the file that each is on.
std::map<FileNumber, std::string> list_loop_devices_by_file();
// "" when none is on this file.
std::string find_loop_device(const std::map<FileNumber, std::string>& devices,
                             const FileNumber& file);
// The loop devices on a file that had this path and was deleted.
std::vector<std::string> list_deleted_loop_devices(const std::string& path);

// Asks the kernel about this one device only. false also when there is no such device.
bool is_loop_device_on(const std::string& device, const FileNumber& file);

// Names are those of volumes. Different names may be worked on by different threads at once.
class FilePool {
 public:
  FilePool(process::Runner& runner, std::string directory,
           std::chrono::milliseconds retry_delay = std::chrono::milliseconds(200));

  // Of the file system under the directory; NotFound when the directory is missing.
  Space space() const;
  std::optional<Image> find_image(const std::string& name);
  std::vector<Image> list_images();
  // Makes the sparse file, fsync'ed, and its loop device. OutOfSpace when the file system has less
  // free than that, AlreadyExists when there is one, with tags or without.
  void create_image(const std::string& name, std::uint64_t size_bytes,
                    const std::vector<std::string>& tags);
  // With its loop device, also while that is in use. Larger ones stay as they are. OutOfSpace as
  // above, by what it grows.
  void grow_image(const std::string& name, std::uint64_t size_bytes);
  void activate(const std::string& name);    // sets up the loop device unless there is one
  void deactivate(const std::string& name);  // no error when there is none; Conflict while in use
  void set_tags(const std::string& name, const std::vector<std::string>& tags);
  // Deactivates it first. No error when it is already gone; Conflict while it is in use.
  void remove_image(const std::string& name);

 private:
  std::string path_of(const std::string& name, const char* ending) const;
  std::string find_device(const std::string& name);
  // To list all devices there are takes as long as there are many: it is done only when none was
  // known for this file, or the one that was is on another by now.
  std::string find_device(const FileNumber& file);
  // OutOfSpace, with `what` before the rest of the message.
  void check_free(std::uint64_t bytes, const std::string& what) const;
  Image read_image(const std::string& name, const std::string& device) const;
  void detach(const std::string& device);

  process::Runner& runner_;
  std::string directory_;
  std::chrono::milliseconds retry_delay_;
  std::mutex mutex_;
  std::map<FileNumber, std::string> devices_;  // as they were listed last
};

}  // namespace plexvol::filepool
