#include "agent/mounts/unmount.h"

#include <sys/mount.h>

#include <cerrno>
#include <optional>
#include <thread>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/files.h"
#include "agent/mounts/child.h"
#include "agent/mounts/guard.h"
#include "agent/mounts/mountinfo.h"
#include "agent/mounts/target.h"
#include "agent/mounts/users.h"

namespace plexvol::mounts {

namespace {

// A container that has just ended may keep its mounts for a moment.
constexpr std::chrono::milliseconds kBusyTimeout(5'000);
constexpr std::chrono::milliseconds kBusyPause(100);
constexpr std::chrono::milliseconds kSearchTimeout(3'000);

// The errno of umount(2), 0 when it worked; nullopt when it did not return in time.
std::optional<int> unmount_in_child(const std::string& target, base::Deadline deadline) {
  Child child([&target](Channel& driver) {
    const int error = ::umount2(target.c_str(), UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
    driver.send(std::to_string(error));
  });
  const auto answer = child.channel().receive(deadline);
  if (answer) return std::stoi(*answer);
  if (child.wait(base::Clock::now()))
    throw Error(ErrorCode::Internal, "a child process was killed");
  return std::nullopt;
}

[[noreturn]] void throw_busy(const MountEntry& entry, base::Deadline deadline) {
  const std::string users = describe_users(entry, base::sooner(deadline, kSearchTimeout));
  throw Error(ErrorCode::Conflict, "unmount of " + entry.mount_point + ": " + describe(entry) +
                                       " is in use" +
                                       (users.empty() ? ", nobody was found" : " by " + users));
}

// Another process may have been faster, which is as good.
bool is_still_there(const MountEntry& entry) {
  for (const MountEntry& now : mounts_on(entry.mount_point)) {
    if (now.id == entry.id) return true;
  }
  return false;
}

void unmount_one(const MountEntry& entry, TargetLock* lock, base::Deadline deadline) {
  const base::Deadline busy_until = base::sooner(deadline, kBusyTimeout);
  const std::string what = "unmount of " + entry.mount_point;
  while (true) {
    const auto error = unmount_in_child(entry.mount_point, deadline);
    if (!error) {
      if (lock != nullptr) lock->leave_to_child();
      throw Error(ErrorCode::Unavailable, what + " does not return: is " + describe(entry) +
                                              " frozen? See plexvol volume list");
    }
    if (*error == 0 || !is_still_there(entry)) return;
    if (*error != EBUSY) {
      throw Error(ErrorCode::Internal,
                  what + " (" + describe(entry) + "): " + base::error_text(*error));
    }
    if (base::Clock::now() >= busy_until) throw_busy(entry, deadline);
    std::this_thread::sleep_for(kBusyPause);
  }
}

bool is_ours(const MountEntry& entry) {
  return is_guard(entry.fs_type, entry.source) || is_placeholder(entry.fs_type, entry.source);
}

// A host where no lock can be made must still be able to let go of its volumes.
std::optional<TargetLock> lock_target(const std::string& target, base::Deadline deadline,
                                      const Steps& steps) {
  try {
    return TargetLock(target, deadline);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::Unavailable) throw;
    steps.note(error.what());
    return std::nullopt;
  }
}

}  // namespace

void unmount_target(const std::string& target, base::Deadline deadline, const Steps& steps) {
  auto lock = lock_target(target, deadline, steps);
  while (true) {
    const auto entries = mounts_on(target);
    if (entries.empty()) break;
    const MountEntry& top = entries.back();
    if (top.major == 0 && !is_ours(top)) {
      throw Error(ErrorCode::Conflict, "on " + target + " " + describe(top) +
                                           " is mounted, which is no volume: left alone");
    }
    const TimedStep step(steps, "unmount " + describe(top) + " from " + target);
    unmount_one(top, lock ? &*lock : nullptr, deadline);
  }
  // Else the kubelet could not remove the directory.
  if (parse_pod_volume(target)) clear_guard(target);
}

}  // namespace plexvol::mounts
