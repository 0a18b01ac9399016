#include "flexdriver/install/remove.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>

#include "agent/api/error.h"
#include "agent/api/protocol.h"
#include "agent/base/deadline.h"
#include "agent/base/text.h"
#include "agent/client/agent_client.h"
#include "agent/mounts/guard.h"
#include "agent/mounts/target.h"
#include "flexdriver/install/drop.h"
#include "flexdriver/install/host_processes.h"
#include "flexdriver/install/install_lock.h"

namespace plexvol::driver {

namespace {

constexpr const char* kGone = ".plexvol.gone";
constexpr const char* kGoneFolder = ".plexvol~plexvol.gone";  // left by a killed uninstall of 0.1.0
// An `init` or an `unmount` that had begun ends in a moment: worth waiting for.
constexpr auto kCallsLimit = std::chrono::seconds(3);
constexpr auto kCallsPause = std::chrono::milliseconds(50);

bool is_locked(const TrustedDir& locks, const std::string& name) {
  const auto file = locks.open_file(name);
  if (!file || ::flock(file->get(), LOCK_SH | LOCK_NB) == 0) return false;
  return errno == EWOULDBLOCK;
}

std::size_t count_locked_targets(const TrustedDir& root) {
  const auto locks = root.find(mounts::kLockDirectory);
  if (!locks) return 0;
  const std::vector<std::string> names = locks->list();
  return static_cast<std::size_t>(std::count_if(
      names.begin(), names.end(), [&](const auto& name) { return is_locked(*locks, name); }));
}

// Under the name that kubelets call, or one that a removal gave it which was then killed.
void refuse_while_run(const std::string& proc, const TrustedDir& root, const TrustedDir& folder) {
  for (const char* name : {kDriverName, kGone}) {
    if (!folder.has(name)) continue;
    struct stat program {};
    if (::fstatat(folder.fd(), name, &program, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const auto pids = list_running(proc, root, program);
    if (pids.empty()) continue;
    throw Error(ErrorCode::Conflict, folder.path_of(kDriverName) +
                                         ": not removed: a call still runs (pid " + pids.front() +
                                         "); run this again when it has ended");
  }
}

std::optional<TrustedDir> find_folder(const TrustedDir& root, const std::string& plugin_dir) {
  const auto directory = root.find(plugin_dir);
  return directory ? directory->find_child(kDriverFolder) : std::nullopt;
}

void wait_while_called(const std::string& proc, const TrustedDir& root,
                       const std::string& plugin_dir) {
  const base::Deadline deadline = base::Clock::now() + kCallsLimit;
  while (true) {
    try {
      return refuse_while_called(proc, root, plugin_dir);
    } catch (const Error&) {
      if (base::Clock::now() >= deadline) throw;
    }
    std::this_thread::sleep_for(kCallsPause);
  }
}

}  // namespace

void refuse_while_called(const std::string& proc, const TrustedDir& root,
                         const std::string& plugin_dir) {
  const auto folder = find_folder(root, plugin_dir);
  if (folder) refuse_while_run(proc, root, *folder);
  const std::size_t locked = count_locked_targets(root);
  if (locked == 0) return;
  throw Error(
      ErrorCode::Conflict,
      root.path() + plugin_dir + "/" + kDriverFolder + ": not removed: " + std::to_string(locked) +
          (locked == 1 ? " mount call is" : " mount calls are") + " still under way (a lock in " +
          root.path() + mounts::kLockDirectory + " is held); run this again when they have ended");
}

bool remove_driver(const std::string& proc, const TrustedDir& root, const std::string& plugin_dir,
                   const std::function<void()>& refuse) {
  const InstallLock lock(root);
  const auto directory = root.find(plugin_dir);
  if (!directory) return false;
  directory->remove_child(kGoneFolder);
  const auto folder = directory->find_child(kDriverFolder);
  if (!folder) return false;
  if (folder->has(kDriverName)) folder->rename(kDriverName, kGone);
  try {
    wait_while_called(proc, root, plugin_dir);
    refuse();
  } catch (const Error&) {
    if (folder->has(kGone)) folder->rename(kGone, kDriverName);
    throw;
  }
  directory->remove_child(kDriverFolder);
  return true;
}

bool remove_runtime_files(const TrustedDir& root) {
  const std::string socket = api::kDefaultSocket;
  const auto folder = root.find(socket.substr(0, socket.rfind('/')));
  if (!folder) return true;
  base::Descriptor connection;
  // By the descriptor, so that a long path of the root makes no difference.
  const std::string place =
      "/proc/self/fd/" + std::to_string(folder->fd()) + "/" + base::base_name(socket);
  const int problem = client::try_connect(place, connection);
  if (problem == 0 || problem == EAGAIN) return false;
  folder->remove(base::base_name(socket));
  folder->remove(base::base_name(socket) + ".lock");
  folder->remove_child(base::base_name(mounts::kLockDirectory));
  const auto parent = root.find(folder->path().substr(root.path().size()) + "/..");
  // It stays when there is something else in it.
  if (parent) ::unlinkat(parent->fd(), base::base_name(folder->path()).c_str(), AT_REMOVEDIR);
  return true;
}

bool is_mount_of_driver(const mounts::MountEntry& entry) {
  const std::string& point = entry.mount_point;
  if (mounts::is_guard(entry.fs_type, entry.source)) return false;  // see install/guards.h
  return point.find("/volumes/plexvol~plexvol/") != std::string::npos ||
         point.find("/kubernetes.io/flexvolume/plexvol/plexvol/") != std::string::npos;
}

DriverMounts mounts_of_driver(const std::vector<mounts::MountEntry>& table) {
  DriverMounts mounts;
  std::set<std::string> names;
  for (const mounts::MountEntry& entry : table) {
    if (!is_mount_of_driver(entry)) continue;
    mounts.points.push_back(entry.mount_point);
    // A device may be mounted under several names, and a name stand for what holds its place.
    const bool is_device = entry.source.starts_with("/dev/");
    names.insert(is_device ? std::to_string(entry.major) + ':' + std::to_string(entry.minor)
                           : base::base_name(entry.mount_point));
  }
  mounts.volumes = names.size();
  return mounts;
}

}  // namespace plexvol::driver
