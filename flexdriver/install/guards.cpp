#include "flexdriver/install/guards.h"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <cstddef>
#include <set>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/mounts/child.h"
#include "agent/mounts/guard.h"

namespace plexvol::driver {

namespace {

constexpr const char* kUsualPods = "/var/lib/kubelet/pods";
constexpr const char* kMemory = "/kubelets";  // see agent/mounting/pod_directories.h
constexpr std::size_t kLargestMemory = 65'536;
constexpr const char* kDone = "done";

std::set<std::string> list_pods_directories(const std::string& memory) {
  std::set<std::string> found{kUsualPods};
  const std::string text = base::read_file(memory, kLargestMemory).value_or("");
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
  const base::Descriptor host(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return host.is_open() && ::setns(host.get(), CLONE_NEWNS) == 0;
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
  constexpr std::chrono::milliseconds kLimit(60'000);
  mounts::Child child([&](mounts::Channel& driver) {
    try {
      clear_all(place);
      driver.send(kDone);
    } catch (const Error& error) {
      driver.send(error.what());
    }
  });
  const auto answer = child.channel().receive(base::Clock::now() + kLimit);
  if (answer == kDone) return;
  throw Error(ErrorCode::Internal, "guards of pods' directories are left: " +
                                       answer.value_or("the process that removes them hangs"));
}

}  // namespace plexvol::driver
