#include "agent/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "agent/base/descriptor.h"

namespace plexvol::base {

namespace {

constexpr std::size_t kPart = 16384;

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string beside(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::size_t name = slash == std::string::npos ? 0 : slash + 1;
  return path.substr(0, name) + "." + path.substr(name) + ".new";
}

// Whether the call is to be made again; `count` is what it returned.
bool was_interrupted(ssize_t count) {
  return count < 0 && errno == EINTR;
}

}  // namespace

std::optional<std::string> read_all(int file, std::size_t most) {
  std::string content;
  std::array<char, kPart> part{};
  while (true) {
    const ssize_t got = ::read(file, part.data(), part.size());
    if (was_interrupted(got)) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) return content;
    content.append(part.data(), static_cast<std::size_t>(got));
    if (content.size() > most) {
      errno = EFBIG;
      return std::nullopt;
    }
  }
}

std::optional<std::string> read_file(const std::string& path, std::size_t most) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file.is_open()) return std::nullopt;
  return read_all(file.get(), most);
}

std::optional<std::string> read_from_start(int file, std::size_t most) {
  std::string content;
  std::array<char, kPart> part{};
  while (content.size() < most) {
    const ssize_t got = ::pread(file, part.data(), std::min(part.size(), most - content.size()),
                                static_cast<off_t>(content.size()));
    if (was_interrupted(got)) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    content.append(part.data(), static_cast<std::size_t>(got));
  }
  return content;
}

bool write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(file, text.data(), text.size());
    if (was_interrupted(wrote)) continue;
    if (wrote < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

bool write_all_at(int file, std::string_view text, std::uint64_t offset) {
  while (!text.empty()) {
    const ssize_t wrote = ::pwrite(file, text.data(), text.size(), static_cast<off_t>(offset));
    if (was_interrupted(wrote)) continue;
    if (wrote < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
    offset += static_cast<std::uint64_t>(wrote);
  }
  return true;
}

bool sync_directory(const std::string& path) {
  const Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return folder.is_open() && ::fsync(folder.get()) == 0;
}

bool replace_file(const std::string& path, std::string_view text, mode_t mode) {
  const std::string fresh = beside(path);
  if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) return false;  // left by a crash
  {
    const Descriptor file(
        ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file.is_open()) return false;
    if (!write_all(file.get(), text) || ::fsync(file.get()) != 0) return false;
  }
  if (std::rename(fresh.c_str(), path.c_str()) != 0) return false;
  return sync_directory(folder_of(path));
}

std::string error_text(int error_number) {
  const char* text = ::strerrordesc_np(error_number);
  return text != nullptr ? text : "error " + std::to_string(error_number);
}

}  // namespace plexvol::base
