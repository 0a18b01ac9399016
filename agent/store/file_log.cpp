#include "agent/store/file_log.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include "agent/api/error.h"
#include "agent/base/files.h"

namespace plexvol::store {

namespace {

// Below this a rewrite is not worth its sync; above, it happens when the file is this many times
// its base.
constexpr std::uint64_t kMinCompactBytes = 4U << 20U;
constexpr std::uint64_t kCompactFactor = 4;

// A process shares its locks with a child until that one executes its tool, or ends: so they
// outlive an agent that was killed between the two, by a moment.
constexpr auto kLockLimit = std::chrono::seconds(2);
constexpr auto kLockInterval = std::chrono::milliseconds(10);

[[noreturn]] void fail(const std::string& what, int error) {
  throw Error(ErrorCode::Internal,
              fmt::format("store: cannot {}: {}", what, base::error_text(error)));
}

base::Descriptor open_or_fail(const std::filesystem::path& path, int flags) {
  const int number = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (number < 0) fail("open " + path.string(), errno);
  return base::Descriptor(number);
}

void sync_directory(const std::filesystem::path& directory) {
  if (!base::sync_directory(directory)) fail("sync the directory " + directory.string(), errno);
}

std::string read_whole(int file, const std::filesystem::path& path) {
  auto bytes = base::read_from_start(file);
  if (!bytes) fail("read " + path.string(), errno);
  return *std::move(bytes);
}

// A directory that we made must itself survive a power cut, or the file in it does not.
void make_directory(const std::filesystem::path& directory) {
  if (directory.empty() || std::filesystem::is_directory(directory)) return;
  make_directory(directory.parent_path());
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    fail("create the directory " + directory.string(), errno);
  }
  const std::filesystem::path parent = directory.parent_path();
  sync_directory(parent.empty() ? "." : parent);
}

}  // namespace

FileLog::FileLog(std::filesystem::path directory)
    : directory_(std::move(directory)), path_(directory_ / "store.log") {
  make_directory(directory_);
  lock();
  read();
}

void FileLog::lock() {
  // A file of its own: the log is replaced by renaming, and a lock would stay with the old one.
  const std::filesystem::path path = directory_ / "lock";
  lock_ = open_or_fail(path, O_RDWR | O_CREAT);
  const auto deadline = std::chrono::steady_clock::now() + kLockLimit;
  while (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) fail("lock " + path.string(), errno);
    if (std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(kLockInterval);
      continue;
    }
    throw Error(ErrorCode::Conflict,
                fmt::format("the store in {} is in use by process {}: only one agent may run on it",
                            directory_.string(), read_whole(lock_.get(), path)));
  }
  // For the message above alone, so a full disk is no reason not to start.
  const std::string owner = std::to_string(::getpid());
  if (::ftruncate(lock_.get(), 0) == 0) base::write_all_at(lock_.get(), owner, 0);
}

void FileLog::read() {
  if (!std::filesystem::exists(path_)) {
    write_base({});
    return;
  }
  file_ = open_or_fail(path_, O_RDWR);
  const std::string bytes = read_whole(file_.get(), path_);
  ParsedFile parsed;
  try {
    parsed = parse_file(bytes);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", path_.string(), error.what()));
  }
  size_ = parsed.good_bytes;
  contents_ = std::move(parsed.contents);
  compact_at_ = std::max(kMinCompactBytes, size_ + size_ / 2);
  if (size_ == bytes.size()) return;
  if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0 || ::fsync(file_.get()) != 0) {
    fail("truncate the interrupted transaction at the end of " + path_.string(), errno);
  }
  opening_note_ = fmt::format(
      "{}: the last {} bytes were an interrupted transaction that was never acknowledged; dropped",
      path_.string(), bytes.size() - size_);
}

Contents FileLog::take_contents() {
  return std::move(contents_);
}

void FileLog::append(std::int64_t revision, const std::vector<ItemChange>& changes) {
  check_usable();
  const std::string record = to_record(revision, changes);
  if (!base::write_all_at(file_.get(), record, size_)) undo_append(errno);
  // After a failed sync the kernel may have dropped the pages and forgotten the failure: trying
  // again proves nothing.
  if (::fdatasync(file_.get()) != 0) become_unusable("sync " + path_.string(), errno);
  size_ += record.size();
}

void FileLog::undo_append(int error) {
  if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) {
    become_unusable("write " + path_.string(), error);
  }
  const bool is_full = error == ENOSPC || error == EDQUOT;
  throw Error(is_full ? ErrorCode::OutOfSpace : ErrorCode::Internal,
              fmt::format("store: cannot write {}, so nothing was committed: {}", path_.string(),
                          base::error_text(error)));
}

void FileLog::compact_if_large(const Contents& contents) {
  if (!unusable_.empty() || size_ < compact_at_) return;
  compact_at_ = size_ * 2;  // when it fails; replaced when it succeeds
  try {
    write_base(contents);
  } catch (const std::exception&) {
    // The commit that brought us here is durable in the old file; its caller has nothing to do
    // about this.
  }
}

void FileLog::write_base(const Contents& contents) {
  const std::filesystem::path new_path = path_.string() + ".new";
  Contents durable = contents;
  std::erase_if(durable.items, [](const auto& item) { return item.second.session; });
  const std::string bytes = to_base(durable);
  base::Descriptor file = open_or_fail(new_path, O_RDWR | O_CREAT | O_TRUNC);
  if (!base::write_all_at(file.get(), bytes, 0)) {
    const int error = errno;
    ::unlink(new_path.c_str());
    fail("write " + new_path.string(), error);
  }
  if (::fsync(file.get()) != 0) fail("sync " + new_path.string(), errno);
  if (::rename(new_path.c_str(), path_.c_str()) != 0) fail("rename " + new_path.string(), errno);
  file_ = std::move(file);
  size_ = bytes.size();
  compact_at_ = std::max(kMinCompactBytes, kCompactFactor * size_);
  try {
    sync_directory(directory_);
  } catch (const Error& error) {
    // A power cut could now bring the old file back, without what is appended to the new one from
    // here on.
    unusable_ = error.what();
    throw;
  }
}

void FileLog::check_usable() const {
  if (unusable_.empty()) return;
  throw Error(ErrorCode::Unavailable,
              unusable_ + "; restart the agent to read what the store holds");
}

void FileLog::become_unusable(const std::string& what, int error) {
  unusable_ = fmt::format("store: cannot {}: {}", what, base::error_text(error));
  throw Error(ErrorCode::Unavailable,
              unusable_ + "; this commit may or may not have been written: restart the agent");
}

}  // namespace plexvol::store
