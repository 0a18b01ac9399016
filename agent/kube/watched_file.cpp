#include "agent/kube/watched_file.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <cerrno>
#include <utility>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/log.h"

namespace plexvol::kube {

namespace {

constexpr std::size_t kMostBytes = 1U << 20U;

bool is_same(const struct stat& one, const struct stat& other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino && one.st_size == other.st_size &&
         one.st_mtim.tv_sec == other.st_mtim.tv_sec && one.st_mtim.tv_nsec == other.st_mtim.tv_nsec;
}

}  // namespace

WatchedFile::WatchedFile(std::string path, std::string what)
    : path_(std::move(path)), what_(std::move(what)) {}

std::string WatchedFile::read(bool again) {
  const std::lock_guard lock(mutex_);
  struct stat now {};
  if (seen_ && !again && stat(path_.c_str(), &now) == 0 && is_same(*seen_, now)) return content_;
  const base::Descriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  std::optional<std::string> content;
  // Of the open file: its path may lead to another one by now.
  if (file.is_open() && fstat(file.get(), &now) == 0) {
    content = base::read_all(file.get(), kMostBytes);
  }
  if (!content) {
    const std::string why =
        fmt::format("cannot read {} {}: {}", what_, path_, base::error_text(errno));
    if (!seen_) throw Error(ErrorCode::Internal, why);
    log::warn(why + "; using what was read before");
    return content_;
  }
  seen_ = now;
  content_ = std::move(*content);
  return content_;
}

}  // namespace plexvol::kube
