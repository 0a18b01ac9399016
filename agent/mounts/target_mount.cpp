#include "agent/mounts/target_mount.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <optional>
#include <thread>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/files.h"
#include "agent/mounts/child.h"
#include "agent/mounts/guard.h"
#include "agent/mounts/mountinfo.h"

namespace plexvol::mounts {

namespace {

constexpr const char* kDone = "done";
constexpr const char* kKeep = "keep";
// Of undoing what was mounted a moment ago, when the call itself has no time left.
constexpr std::chrono::milliseconds kUndoTimeout(5'000);

std::string number_of(const MountOrder& order) {
  return std::to_string(order.major) + ':' + std::to_string(order.minor);
}

std::string name_of(const MountOrder& order) {
  return order.device + " (" + number_of(order) + ", " + order.fs_type + ')';
}

bool is_of(const MountEntry& entry, const MountOrder& order) {
  if (order.placeholder && is_placeholder(entry.fs_type, entry.source)) {
    return entry.source == placeholder_source(order.volume);
  }
  return entry.major == order.major && entry.minor == order.minor && entry.root == "/";
}

std::optional<MountEntry> find_mount(const std::string& target) {
  auto entries = mounts_on(target);
  if (entries.empty()) return std::nullopt;
  return std::move(entries.back());
}

// true: there is nothing to do.
bool is_mounted(const MountOrder& order) {
  const auto found = find_mount(order.target);
  if (!found || is_guard(found->fs_type, found->source)) return false;
  if (!is_of(*found, order)) {
    throw Error(ErrorCode::Conflict, "on " + order.target + " " + describe(*found) +
                                         " is mounted, which is not " + name_of(order) +
                                         "; unmount it first");
  }
  if (!order.placeholder && found->read_only != order.flags.read_only) {
    throw Error(ErrorCode::Conflict,
                name_of(order) + " is mounted on " + order.target + " already, but " +
                    (found->read_only ? "read-only" : "writable") + "; unmount it first");
  }
  return true;
}

// The device itself instead of the link: it is what others see in the mount table, and a link may
// be turned meanwhile.
std::string find_device(const MountOrder& order) {
  std::array<char, PATH_MAX> path{};
  struct stat found {};
  if (::realpath(order.device.c_str(), path.data()) == nullptr ||
      ::stat(path.data(), &found) != 0) {
    throw Error(ErrorCode::Internal, "device " + order.device +
                                         " is not seen here: " + base::error_text(errno) +
                                         "; a kubelet in a container needs the host's /dev");
  }
  if (!S_ISBLK(found.st_mode)) {
    throw Error(ErrorCode::Conflict,
                order.device + " leads to " + path.data() + ", which is no block device");
  }
  if (::major(found.st_rdev) != order.major || ::minor(found.st_rdev) != order.minor) {
    throw Error(ErrorCode::Conflict,
                order.device + " leads to " + path.data() + ", which is device " +
                    std::to_string(::major(found.st_rdev)) + ':' +
                    std::to_string(::minor(found.st_rdev)) + " and not " + number_of(order) +
                    " as the agent said; nothing was mounted");
  }
  return path.data();
}

// Whoever looks at new mounts (a file indexer, the kubelet's own statistics) makes it busy for a
// moment.
std::string unmount_again(const std::string& target) {
  constexpr int kAttempts = 20;
  constexpr std::chrono::milliseconds kPause(50);
  for (int attempt = 1; ::umount2(target.c_str(), UMOUNT_NOFOLLOW) != 0; ++attempt) {
    if (errno != EBUSY || attempt == kAttempts) {
      return target + " could not be unmounted again: " + base::error_text(errno);
    }
    std::this_thread::sleep_for(kPause);
  }
  return "";
}

std::string hint(int error_number) {
  switch (error_number) {
    case EBUSY:
      return "; is it in use by something else, or did the kernel make it read-only after an "
             "error?";
    case ENODEV:
      return "; this kernel does not know the file system";
    default:
      return "; the kernel's log may say more";
  }
}

bool is_pod_volume(const std::string& target) {
  return parse_pod_volume(target).has_value();
}

// What is wrong, or "".
template <class Step>
std::string problem_of(Step step) {
  try {
    step();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

// A pod's directory is left as it was found, after what was mounted on it has gone. What is wrong,
// or "".
std::string undo_mount(const std::string& target) {
  std::string left_over = unmount_again(target);
  if (!left_over.empty() || !is_pod_volume(target)) return left_over;
  return problem_of([&] { clear_guard(target); });
}

// What is wrong, or "". Nothing stays mounted when something is.
std::string mount_device(const MountOrder& order, const std::string& device) {
  const char* target = order.target.c_str();
  if (::mount(device.c_str(), target, order.fs_type.c_str(), order.flags.all, order.data.c_str()) !=
      0) {
    return base::error_text(errno) + hint(errno);
  }
  std::string problem;
  const auto found = find_mount(order.target);
  if (!found || !is_of(*found, order)) {
    problem = "the kernel mounted " + (found ? describe(*found) : "nothing") + " instead";
  } else if (order.flags.read_only &&
             ::mount(nullptr, target, nullptr,
                     MS_REMOUNT | MS_BIND | MS_RDONLY | order.flags.of_mount_point, nullptr) != 0) {
    problem = "it cannot be made read-only: " + base::error_text(errno);
  }
  if (problem.empty()) return "";
  const std::string left_over = unmount_again(order.target);
  return left_over.empty() ? problem : problem + "; " + left_over;
}

// The same, with the guard.
std::string mount_now(const MountOrder& order, const std::string& device) {
  if (order.placeholder) {
    return problem_of([&] { mount_empty(order.target, placeholder_source(order.volume)); });
  }
  const bool guarded = is_pod_volume(order.target);
  std::string problem = guarded ? problem_of([&] { set_guard(order.target, order.volume); }) : "";
  if (problem.empty()) problem = mount_device(order, device);
  if (problem.empty() || !guarded) return problem;
  const std::string left_over = problem_of([&] { clear_guard(order.target); });
  return left_over.empty() ? problem : problem + "; " + left_over;
}

void work(Channel& driver, const MountOrder& order, const std::string& device, TargetLock& lock) {
  const std::string problem = mount_now(order, device);
  const bool is_heard = driver.send(problem.empty() ? kDone : problem);
  if (!problem.empty()) return;
  if (is_heard && driver.receive(std::nullopt) == kKeep) {
    driver.send(kDone);
    return;
  }
  const std::string left_over = undo_mount(order.target);
  // The driver was killed: what it would have tidied up is now ours to do.
  if (!driver.send(left_over.empty() ? kDone : left_over)) lock.remove();
}

[[noreturn]] void throw_killed(const MountOrder& order, const std::string& what) {
  const auto found = find_mount(order.target);
  std::string left_over;
  if (found && is_of(*found, order)) {
    left_over = undo_mount(order.target);
  } else if (is_pod_volume(order.target)) {
    left_over = problem_of([&] { clear_guard(order.target); });
  }
  throw Error(ErrorCode::Internal, what + ": the process that mounted was killed" +
                                       (left_over.empty() ? "" : "; " + left_over));
}

}  // namespace

void check_target(const std::string& target) {
  if (!find_mount(target)) make_target(target);
}

void give_up_target(const std::string& target, const Steps& steps) {
  if (!is_pod_volume(target)) return;
  try {
    const TargetLock lock(target, base::Clock::now());  // else another call works on it
    const auto bare = find_bare(target);
    if (!bare || !bare->guarded) return;
    const auto found = find_mount(target);
    if (found && is_guard(found->fs_type, found->source)) clear_guard(target);
    if (remove_bare(target) == Removal::NotEmpty) {
      set_guard(target, bare->volume);
    }
  } catch (const Error& error) {
    steps.note(error.what());
  }
}

TargetMount::TargetMount(const MountOrder& order, base::Deadline deadline, const Steps& steps)
    : lock_(order.target, deadline) {
  const std::string device = find_device(order);
  if (is_mounted(order)) {
    steps.note(name_of(order) + " is mounted on " + order.target + " already");
    return;
  }
  make_target(order.target);
  const TimedStep step(steps, "mount " + device + " on " + order.target);
  child_ = std::make_unique<Child>([&](Channel& driver) { work(driver, order, device, lock_); });
  const auto answer = child_->channel().receive(deadline);
  if (answer == kDone) return;
  const std::string what = "mount of " + name_of(order) + " on " + order.target;
  if (answer) throw Error(ErrorCode::Internal, what + ": " + *answer);
  if (child_->wait(base::Clock::now())) throw_killed(order, what);
  lock_.leave_to_child();
  throw Error(ErrorCode::Unavailable,
              what + " does not return: is the volume frozen? See plexvol volume list");
}

TargetMount::~TargetMount() {
  undo(base::Clock::now() + kUndoTimeout);
}

void TargetMount::keep(base::Deadline deadline) {
  if (!child_) return;
  const bool is_kept =
      child_->channel().send(kKeep) && child_->channel().receive(deadline) == kDone;
  child_.reset();
  if (!is_kept) throw Error(ErrorCode::Internal, "the process that mounted was killed");
}

std::string TargetMount::undo(base::Deadline deadline) {
  if (!child_) return "";
  std::string problem;
  if (child_->channel().send("undo")) {
    const auto answer = child_->channel().receive(base::sooner(deadline, kUndoTimeout));
    if (!answer) lock_.leave_to_child();
    if (answer != kDone) problem = answer.value_or("it is not known yet whether it was undone");
  }
  child_.reset();
  return problem;
}

}  // namespace plexvol::mounts
