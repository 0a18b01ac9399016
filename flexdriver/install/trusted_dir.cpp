#include "flexdriver/install/trusted_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <deque>
#include <memory>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/files.h"
#include "agent/base/text.h"

namespace plexvol::driver {

namespace {

constexpr int kMostLinks = 40;  // as the kernel

[[noreturn]] void refuse(const std::string& path, const std::string& why, const std::string& todo) {
  throw Error(ErrorCode::Conflict, path + ": not used: " + why + "; " + todo);
}

bool is_trusted_owner(uid_t owner) {
  return owner == 0 || owner == ::geteuid();
}

void require_owner(const struct stat& info, const std::string& path) {
  if (is_trusted_owner(info.st_uid)) return;
  refuse(path,
         "it belongs to user " + std::to_string(info.st_uid) +
             ", who could replace what root runs there",
         "chown root " + path + ", or use another directory");
}

void require_trusted(const struct stat& info, const std::string& path) {
  require_owner(info, path);
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) == 0) return;
  std::array<char, 8> mode{};
  std::snprintf(mode.data(), mode.size(), "%04o", info.st_mode & 07777U);
  refuse(path,
         "users other than root may write to it (mode " + std::string(mode.data()) +
             ") and could replace what root runs there",
         "chmod go-w " + path + ", or use another directory");
}

void require_directory(const struct stat& info, const std::string& path) {
  if (S_ISLNK(info.st_mode)) refuse(path, "it is a symbolic link", "remove it");
  if (!S_ISDIR(info.st_mode)) refuse(path, "it is not a directory", "remove it");
  require_trusted(info, path);
}

void require_file(const struct stat& info, const std::string& path) {
  if (!S_ISREG(info.st_mode)) refuse(path, "it is not a regular file", "remove it");
  require_trusted(info, path);
}

struct stat stat_of(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) fail("look at", path);
  return info;
}

std::deque<std::string> split_path(const std::string& path) {
  const auto parts = base::split_filled(path, '/');
  return {parts.begin(), parts.end()};
}

// One walk: where it is, the way back, and what is left of the path.
class Walk {
 public:
  struct Found {
    base::Descriptor fd;  // O_PATH
    struct stat info {};
    std::string path;
  };

  Walk(int root, const std::string& root_path, const std::string& path, Missing missing)
      : left_(split_path(path)), missing_(missing) {
    way_.push_back({base::Descriptor(::fcntl(root, F_DUPFD_CLOEXEC, 0)), {}, root_path});
    if (!way_.back().fd.is_open()) fail("open", root_path);
  }

  // What is there, a directory or not. std::nullopt: nothing.
  std::optional<Found> to_end() {
    while (!left_.empty()) {
      const std::string name = std::move(left_.front());
      left_.pop_front();
      if (name == ".") continue;
      if (name == "..") {
        if (way_.size() > 1) way_.pop_back();
        continue;
      }
      auto next = step(name);
      if (!next) return std::nullopt;
      if (S_ISLNK(next->info.st_mode)) {
        follow(*next);
        continue;
      }
      if (!left_.empty()) require_directory(next->info, next->path);
      way_.push_back(*std::move(next));
    }
    Found found = std::move(way_.back());
    found.info = stat_of(found.fd.get(), found.path);
    return found;
  }

 private:
  std::optional<Found> step(const std::string& name) {
    const Found& here = way_.back();
    Found next{.fd = {}, .info = {}, .path = here.path + '/' + name};
    const auto open = [&] {
      next.fd =
          base::Descriptor(::openat(here.fd.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    };
    open();
    if (!next.fd.is_open() && errno == ENOENT && missing_ == Missing::Make) {
      if (::mkdirat(here.fd.get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
        fail("make", next.path);
      }
      open();
    }
    if (!next.fd.is_open() && errno == ENOENT) return std::nullopt;
    if (!next.fd.is_open()) fail("open", next.path);
    next.info = stat_of(next.fd.get(), next.path);
    return next;
  }

  // Only root can have put it there: the directory that it is in has been checked.
  void follow(const Found& link) {
    require_owner(link.info, link.path);
    if (++links_ > kMostLinks) refuse(link.path, "too many symbolic links", "name its target");
    std::array<char, PATH_MAX> text{};
    const ssize_t size = ::readlinkat(link.fd.get(), "", text.data(), text.size() - 1);
    if (size < 0) fail("read the link", link.path);
    const std::string target(text.data(), static_cast<std::size_t>(size));
    if (target.starts_with('/')) way_.resize(1);
    auto parts = split_path(target);
    left_.insert(left_.begin(), parts.begin(), parts.end());
  }

  std::deque<std::string> left_;
  const Missing missing_;
  std::vector<Found> way_;
  int links_ = 0;
};

base::Descriptor open_directory(int at, const char* name, const std::string& path) {
  base::Descriptor directory(
      ::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!directory.is_open()) fail("open", path);
  return directory;
}

std::string read_open_file(const base::Descriptor& file, std::size_t most,
                           const std::string& path) {
  auto text = base::read_all(file.get(), most);
  if (!text) fail("read", path);
  return *std::move(text);
}

}  // namespace

void fail(const std::string& what, const std::string& path) {
  const int error = errno;
  std::string text = "cannot " + what + " " + path + ": " + base::error_text(error);
  const bool refused = error == EACCES || error == EPERM;
  if (refused && ::geteuid() != 0) {
    text += "; run this as root";
  } else if (refused || error == EROFS) {
    text +=
        "; this system keeps it read-only: give the kubelet another --volume-plugin-dir, one that "
        "can be written to, and restart it";
  }
  throw Error(ErrorCode::Internal, text);
}

TrustedDir TrustedDir::open_root(const std::string& path) {
  const std::string place = path.empty() ? "/" : path;
  base::Descriptor directory(::open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) fail("open", place);
  return adopt_root(std::move(directory), path);
}

TrustedDir TrustedDir::adopt_root(base::Descriptor directory, const std::string& path) {
  std::string shown = path;
  while (shown.ends_with('/')) shown.pop_back();
  require_directory(stat_of(directory.get(), shown), shown.empty() ? "/" : shown);
  return {std::move(directory), std::move(shown)};
}

TrustedDir TrustedDir::walk(const std::string& path, Missing missing) const {
  auto found = Walk(fd(), path_, path, missing).to_end();
  if (!found) {
    throw Error(ErrorCode::NotFound, path_ + path + ": there is no such directory");
  }
  require_directory(found->info, found->path);
  return {open_directory(found->fd.get(), ".", found->path), found->path};
}

std::optional<TrustedDir> TrustedDir::find(const std::string& path) const {
  auto found = Walk(fd(), path_, path, Missing::Refuse).to_end();
  if (!found) return std::nullopt;
  require_directory(found->info, found->path);
  return TrustedDir(open_directory(found->fd.get(), ".", found->path), found->path);
}

std::optional<TrustedDir> TrustedDir::find_child(const std::string& name) const {
  const std::string path = path_of(name);
  const base::Descriptor found(::openat(fd(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!found.is_open() && errno == ENOENT) return std::nullopt;
  if (!found.is_open()) fail("open", path);
  require_directory(stat_of(found.get(), path), path);
  return TrustedDir(open_directory(found.get(), ".", path), path);
}

std::optional<base::Descriptor> TrustedDir::open_file(const std::string& name) const {
  const std::string path = path_of(name);
  base::Descriptor file(
      ::openat(fd(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file.is_open() && errno == ENOENT) return std::nullopt;
  // A symbolic link, and a socket.
  if (!file.is_open() && (errno == ELOOP || errno == ENXIO)) {
    refuse(path, "it is not a regular file", "remove it");
  }
  if (!file.is_open()) fail("open", path);
  require_file(stat_of(file.get(), path), path);
  return file;
}

std::optional<std::string> TrustedDir::read(const std::string& name, std::size_t most) const {
  const auto file = open_file(name);
  if (!file) return std::nullopt;
  return read_open_file(*file, most, path_of(name));
}

std::optional<std::string> TrustedDir::read_path(const std::string& path, std::size_t most) const {
  const auto found = Walk(fd(), path_, path, Missing::Refuse).to_end();
  if (!found) return std::nullopt;
  require_file(found->info, found->path);
  // By the descriptor of what was checked: its name may stand for something else by now.
  const std::string place = "/proc/self/fd/" + std::to_string(found->fd.get());
  const base::Descriptor file(::open(place.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file.is_open()) fail("read", found->path);
  return read_open_file(file, most, found->path);
}

void TrustedDir::write(const std::string& name, const std::string& text, mode_t mode) const {
  remove(name);
  const std::string path = path_of(name);
  const base::Descriptor file(
      ::openat(fd(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file.is_open()) fail("write", path);
  if (!base::write_all(file.get(), text)) fail("write", path);
  if (::fchmod(file.get(), mode) != 0 || ::fsync(file.get()) != 0) fail("write", path);
}

void TrustedDir::rename(const std::string& from, const std::string& to) const {
  if (::renameat(fd(), from.c_str(), fd(), to.c_str()) == 0) return;
  fail("rename " + path_of(from) + " to", path_of(to));
}

void TrustedDir::link(const std::string& file, const std::string& name) const {
  remove(name);
  if (::linkat(fd(), file.c_str(), fd(), name.c_str(), 0) != 0) fail("link", path_of(name));
}

void TrustedDir::remove(const std::string& name) const {
  if (::unlinkat(fd(), name.c_str(), 0) == 0 || errno == ENOENT) return;
  if (errno == EISDIR) refuse(path_of(name), "it is a directory", "remove it");
  fail("remove", path_of(name));
}

void TrustedDir::make_child(const std::string& name) const {
  if (::mkdirat(fd(), name.c_str(), 0755) != 0) fail("make", path_of(name));
}

void TrustedDir::remove_child(const std::string& name) const {
  const auto child = find_child(name);
  if (!child) return;
  for (const std::string& inner : child->list()) child->remove(inner);
  if (::unlinkat(fd(), name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    fail("remove", path_of(name));
  }
}

bool TrustedDir::has(const std::string& name) const {
  struct stat info {};
  return ::fstatat(fd(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

std::vector<std::string> TrustedDir::list() const {
  // Of its own: reading moves the offset.
  base::Descriptor again = open_directory(fd(), ".", path_);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(again.get()), &::closedir);
  if (!stream) fail("list", path_);
  again.release();
  std::vector<std::string> names;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread, one stream
  for (const dirent* entry = ::readdir(stream.get()); entry != nullptr;
       entry = ::readdir(stream.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

struct stat TrustedDir::info() const {
  return stat_of(fd(), path_);
}

}  // namespace plexvol::driver
