#include "agent/node_lock.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>

#include "agent/api/error.h"
#include "agent/base/files.h"

namespace plexvol {

namespace {

// A process shares its locks with a child until that one executes its tool, or ends: so they
// outlive an agent that was killed between the two, by a moment.
constexpr auto kLimit = std::chrono::seconds(2);
constexpr auto kInterval = std::chrono::milliseconds(10);

[[noreturn]] void fail(const std::string& what, const std::string& directory, int error) {
  throw Error(ErrorCode::Internal, fmt::format("state directory {}: cannot {}: {}", directory, what,
                                               base::error_text(error)));
}

void make_directory(const std::string& directory) {
  std::error_code error;
  if (std::filesystem::create_directories(directory, error)) {
    std::filesystem::permissions(directory, std::filesystem::perms::owner_all, error);
  }
  if (error) fail("create it", directory, error.value());
}

std::string holder_file(const std::string& directory) {
  return directory + "/agent.pid";
}

std::string read_holder(const std::string& directory) {
  std::ifstream file(holder_file(directory));
  unsigned long pid = 0;
  return file >> pid ? fmt::format("process {}", pid) : "another process";
}

}  // namespace

// The directory itself is locked: that needs no file to be made, so a full disk is no hindrance.
NodeLock::NodeLock(const std::string& state_directory) {
  make_directory(state_directory);
  directory_ =
      base::Descriptor(::open(state_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory_.get() < 0) fail("open it", state_directory, errno);
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (::flock(directory_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) fail("lock it", state_directory, errno);
    if (std::chrono::steady_clock::now() >= deadline) {
      throw Error(ErrorCode::Conflict,
                  fmt::format("state directory {}: in use by {}, which is a running agent: stop it "
                              "first; a node has one agent",
                              state_directory, read_holder(state_directory)));
    }
    std::this_thread::sleep_for(kInterval);
  }
  // For the message above alone.
  std::ofstream(holder_file(state_directory)) << ::getpid() << '\n';
}

}  // namespace plexvol
