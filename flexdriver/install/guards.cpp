#include "flexdriver/install/guards.h"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <cstddef>
#include <set>

#include "agent/api/error.h"
#include "agent/mounts/guard.h"
#include "flexdriver/file_descriptor.h"
#include "flexdriver/mounts/child.h"
#include "flexdriver/system_text.h"

namespace plexvol::driver {

namespace {

constexpr const char* kUsualPods = "/var/lib/kubelet/pods";
constexpr const char* kMemory = "/kubelets";  // see agent/mounting/pod_directories.h
constexpr std::size_t kLargestMemory = 65'536;
constexpr const char* kDone = "done";

std::set<std::string> list_pods_directories(const std::string& memory) {
  std::set<std::string> found{kUsualPods};
  const std::string text = read_file(memory, kLargestMemory).value_or("");
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (text[at] == '/') found.insert(text.substr(at, end - at));
    at = end + 1;
  }
  return found;
}

// For a process with one thread, as a child is.
bool enter_host(const std::string& proc) {
  const std::string path = proc + "/1/ns/mnt";
  const FileDescriptor host(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return host && ::setns(host.get(), CLONE_NEWNS) == 0;
}

void clear_all(const GuardPlace& place) {
  const std::string root = enter_host(place.proc) ? "" : place.root;
  for (const std::string& pods : list_pods_directories(root + place.state_directory + kMemory)) {
    for (const mounts::PodVolume& volume : mounts::list_pod_volumes(root + pods)) {
      mounts::clear_guard(mounts::to_path(volume));
    }
  }
}

}  // namespace

void clear_guards(const GuardPlace& place) {
  constexpr milliseconds kLimit(60'000);
  Child child([&](Channel& driver) {
    try {
      clear_all(place);
      driver.send(kDone);
    } catch (const Error& error) {
      driver.send(error.what());
    }
  });
  const auto answer = child.channel().receive(Clock::now() + kLimit);
  if (answer == kDone) return;
  throw Error(ErrorCode::Internal, "guards of pods' directories are left: " +
                                       answer.value_or("the process that removes them hangs"));
}

}  // namespace plexvol::driver
