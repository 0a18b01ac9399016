#include "agent/filepool/filepool.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/base/text.h"
#include "agent/process/holders.h"
#include "agent/process/proc.h"

namespace plexvol::filepool {

namespace {

constexpr const char* kLosetup = "/sbin/losetup";
constexpr const char* kImageEnding = ".img";
constexpr const char* kTagsEnding = ".tags";
constexpr int kInUseAttempts = 10;

[[noreturn]] void throw_errno(const std::string& tried, int number) {
  const ErrorCode code = number == ENOSPC ? ErrorCode::OutOfSpace : ErrorCode::Internal;
  throw Error(code, fmt::format("{}: {}", tried, base::error_text(number)));
}

std::optional<struct stat> find_file(const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) == 0) return status;
  if (errno != ENOENT) throw_errno("cannot access " + path, errno);
  return std::nullopt;
}

void sync_directory(const std::string& directory) {
  if (!base::sync_directory(directory)) {
    throw_errno("cannot sync the directory " + directory, errno);
  }
}

// Beside, then renamed: it is either there as a whole or not at all.
template <class Fill>
void write_atomically(const std::string& path, const Fill& fill) {
  const std::string beside = path + ".new";
  const base::Descriptor file(
      open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.is_open()) throw_errno("cannot create " + beside, errno);
  if (!fill(file.get()) || fsync(file.get()) != 0) throw_errno("cannot write " + beside, errno);
  if (rename(beside.c_str(), path.c_str()) != 0) throw_errno("cannot rename to " + path, errno);
}

void remove_file(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("cannot remove " + path, errno);
}

FileNumber number_of(const struct stat& status) {
  return {.major = major(status.st_dev), .minor = minor(status.st_dev), .inode = status.st_ino};
}

}  // namespace

FilePool::FilePool(process::Runner& runner, std::string directory,
                   std::chrono::milliseconds retry_delay)
    : runner_(runner), directory_(std::move(directory)), retry_delay_(retry_delay) {}

Space FilePool::space() const {
  struct statvfs status {};
  if (statvfs(directory_.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      throw Error(ErrorCode::NotFound,
                  fmt::format("the pool's directory {} does not exist on this node; create it on a "
                              "file system with room for the volumes",
                              directory_));
    }
    throw_errno("cannot read the pool's directory " + directory_, errno);
  }
  return {.total_bytes = std::uint64_t{status.f_blocks} * status.f_frsize,
          .free_bytes = std::uint64_t{status.f_bavail} * status.f_frsize};
}

std::optional<Image> FilePool::find_image(const std::string& name) {
  const auto status = find_file(path_of(name, kImageEnding));
  if (!status) return std::nullopt;
  return read_image(name, find_device(number_of(*status)));
}

std::vector<Image> FilePool::list_images() {
  std::vector<Image> images;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory_, error);
  if (error) throw_errno("cannot list the pool's directory " + directory_, error.value());
  const auto devices = list_loop_devices_by_file();
  for (const auto& entry : entries) {
    const std::string file = entry.path().filename().string();
    if (!file.ends_with(kImageEnding)) continue;
    const std::string name = file.substr(0, file.size() - std::strlen(kImageEnding));
    const auto status = find_file(directory_ + "/" + file);
    if (!status) continue;  // removed by another thread since the directory was read
    images.push_back(read_image(name, find_loop_device(devices, number_of(*status))));
  }
  std::sort(images.begin(), images.end(),
            [](const Image& a, const Image& b) { return a.name < b.name; });
  return images;
}

void FilePool::check_free(std::uint64_t bytes, const std::string& what) const {
  const std::uint64_t free_bytes = space().free_bytes;
  if (free_bytes >= bytes) return;
  throw Error(ErrorCode::OutOfSpace,
              fmt::format("{}, but only {} is free there", what, size_to_text(free_bytes)));
}

void FilePool::create_image(const std::string& name, std::uint64_t size_bytes,
                            const std::vector<std::string>& tags) {
  const std::string path = path_of(name, kImageEnding);
  if (find_file(path)) throw Error(ErrorCode::AlreadyExists, path + " already exists");
  check_free(size_bytes,
             fmt::format("cannot create {}: it may need {}", path, size_to_text(size_bytes)));
  set_tags(name, tags);
  write_atomically(path,
                   [&](int file) { return ftruncate(file, static_cast<off_t>(size_bytes)) == 0; });
  sync_directory(directory_);
  activate(name);
}

void FilePool::grow_image(const std::string& name, std::uint64_t size_bytes) {
  const auto image = find_image(name);
  const std::string path = path_of(name, kImageEnding);
  if (!image) throw Error(ErrorCode::NotFound, path + " does not exist");
  if (image->size_bytes < size_bytes) {
    const std::uint64_t more_bytes = size_bytes - image->size_bytes;
    check_free(more_bytes,
               fmt::format("cannot grow {}: it may need {} more", path, size_to_text(more_bytes)));
    const base::Descriptor file(open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file.is_open()) throw_errno("cannot open " + path, errno);
    if (ftruncate(file.get(), static_cast<off_t>(size_bytes)) != 0 || fsync(file.get()) != 0) {
      throw_errno("cannot grow " + path, errno);
    }
  }
  // The device does not follow its file by itself.
  if (image->device.empty()) return;
  process::run_checked(runner_, {.argv = {kLosetup, "--set-capacity", image->device}, .input = {}});
}

void FilePool::activate(const std::string& name) {
  const std::string path = path_of(name, kImageEnding);
  if (!find_file(path)) throw Error(ErrorCode::NotFound, path + " does not exist");
  if (!find_device(name).empty()) return;
  // --nooverlap: never a second loop device on one file, which would have a cache of its own.
  process::Output output = process::run_checked(
      runner_, {.argv = {kLosetup, "--find", "--show", "--nooverlap", path}, .input = {}});
  std::erase(output.out, '\n');
  // Without direct I/O every block is kept in memory twice. Not every file system offers it: then
  // it stays as it is.
  runner_.run({.argv = {kLosetup, "--direct-io=on", output.out}, .input = {}});
  if (find_device(name).empty()) {
    throw Error(
        ErrorCode::Internal,
        fmt::format("losetup answered {} for {}, but the kernel shows no loop device on that file",
                    output.out, path));
  }
}

void FilePool::deactivate(const std::string& name) {
  for (int attempt = 1;; ++attempt) {
    const std::string device = find_device(name);
    if (device.empty()) return;
    if (attempt > kInUseAttempts) {
      throw Error(ErrorCode::Conflict,
                  fmt::format("{} of {} is still in use by: {}", device,
                              path_of(name, kImageEnding), process::holders_to_text(device)));
    }
    if (attempt > 1) std::this_thread::sleep_for(retry_delay_);
    detach(device);
  }
}

void FilePool::set_tags(const std::string& name, const std::vector<std::string>& tags) {
  std::string text;
  for (const std::string& tag : tags) {
    if (tag.empty() || tag.find('\n') != std::string::npos) {
      throw Error(ErrorCode::InvalidArgument, "a tag must be one line of text and not empty");
    }
    text += tag + "\n";
  }
  write_atomically(path_of(name, kTagsEnding), [&](int file) {
    return write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  });
  sync_directory(directory_);
}

void FilePool::remove_image(const std::string& name) {
  const std::string path = path_of(name, kImageEnding);
  if (find_file(path)) {
    deactivate(name);
    // The tags go last: an image without them would be nobody's for ever.
    remove_file(path);
  }
  for (const std::string& device : list_deleted_loop_devices(path)) detach(device);
  for (const std::string& left :
       {path_of(name, kTagsEnding), path + ".new", path_of(name, kTagsEnding) + ".new"}) {
    remove_file(left);
  }
  sync_directory(directory_);
}

std::string FilePool::path_of(const std::string& name, const char* ending) const {
  if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos || name.size() > 200) {
    throw Error(ErrorCode::InvalidArgument, in_quotes(name) + " is not a valid image name");
  }
  return directory_ + "/" + name + ending;
}

std::string FilePool::find_device(const std::string& name) {
  const auto status = find_file(path_of(name, kImageEnding));
  return status ? find_device(number_of(*status)) : "";
}

std::string FilePool::find_device(const FileNumber& file) {
  std::string device;
  {
    const std::lock_guard lock(mutex_);
    device = find_loop_device(devices_, file);
  }
  if (!device.empty() && is_loop_device_on(device, file)) return device;
  auto listed = list_loop_devices_by_file();
  device = find_loop_device(listed, file);
  const std::lock_guard lock(mutex_);
  devices_ = std::move(listed);
  return device;
}

Image FilePool::read_image(const std::string& name, const std::string& device) const {
  const std::string path = path_of(name, kImageEnding);
  const auto status = find_file(path);
  if (!status) throw Error(ErrorCode::NotFound, path + " does not exist");
  if (!S_ISREG(status->st_mode)) throw Error(ErrorCode::Conflict, path + " is not a regular file");
  return {.name = name,
          .path = path,
          .device = device,
          .size_bytes = static_cast<std::uint64_t>(status->st_size),
          .tags = base::split_filled(process::read_text_file(path_of(name, kTagsEnding)), '\n')};
}

// The kernel would accept to detach one that is in use, and do it at the last close: a mount would
// keep it, unseen by us.
void FilePool::detach(const std::string& device) {
  struct stat status {};
  if (stat(device.c_str(), &status) != 0) return;
  if (!process::list_openers(major(status.st_rdev), minor(status.st_rdev)).empty()) return;
  const base::Descriptor alone(open(device.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
  if (!alone.is_open() && errno == EBUSY) return;
  process::run_checked(runner_, {.argv = {kLosetup, "--detach", device}, .input = {}});
}

}  // namespace plexvol::filepool
