#include "agent/pods/cgroups.h"

#include <fmt/core.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/pods/pods.h"
#include "agent/process/proc.h"
#include "agent/process/processes.h"

namespace plexvol::pods {

namespace {

constexpr std::chrono::seconds kLimit{10};
constexpr std::chrono::milliseconds kPause{20};
// A name in a cgroup file system has 255 bytes at most, each of which may be written as "\ooo".
constexpr std::size_t kLongestComponent = 1024;

bool continues_a_word(char character) {
  const bool is_letter =
      (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z');
  return is_letter || (character >= '0' && character <= '9') || character == '_';
}

bool is_in_pod(pid_t pid, const std::string& uid, const std::string& proc) {
  CgroupSearch search(uid);
  const std::string path = proc + "/" + std::to_string(pid) + "/cgroup";
  const bool is_there =
      process::read_process_file(path, [&](std::string_view piece) { search.take(piece); });
  return is_there && search.found();
}

// The process may have ended since it was found, and its id may be another's by now: by a pidfd
// nobody else is hit, and where the kernel has none (before 5.3) the cgroup is read once more.
void kill_member(pid_t pid, const std::string& uid, const std::string& proc) {
  const base::Descriptor handle(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!handle.is_open() && errno == ESRCH) return;
  if (!handle.is_open() && errno != ENOSYS) {
    throw Error(ErrorCode::Unavailable, fmt::format("cannot kill process {} of pod {}: {}", pid,
                                                    uid, base::error_text(errno)));
  }
  if (!is_in_pod(pid, uid, proc)) return;
  if (handle.is_open()) {
    syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0);
  } else {
    ::kill(pid, SIGKILL);
  }
}

}  // namespace

CgroupSearch::CgroupSearch(const std::string& uid)
    : with_dashes_("pod" + uid), with_underscores_(with_dashes_) {
  std::replace(with_underscores_.begin(), with_underscores_.end(), '-', '_');
}

void CgroupSearch::take(std::string_view piece) {
  for (const char character : piece) {
    if (character == '\n') {
      end_component();
      colons_ = 0;
    } else if (colons_ < 2) {
      colons_ += character == ':' ? 1 : 0;
    } else if (character == '/') {
      end_component();
    } else if (component_.size() < kLongestComponent) {
      component_ += character;
    }
  }
}

bool CgroupSearch::found() {
  end_component();
  return found_;
}

void CgroupSearch::end_component() {
  found_ = found_ || names_pod(with_dashes_) || names_pod(with_underscores_);
  component_.clear();
}

// Not a longer uid that begins with this one, nor a longer word that ends in "pod".
bool CgroupSearch::names_pod(const std::string& marker) const {
  for (std::size_t at = component_.find(marker); at != std::string::npos;
       at = component_.find(marker, at + 1)) {
    const std::size_t end = at + marker.size();
    const bool begins = at == 0 || !continues_a_word(component_[at - 1]);
    const bool ends =
        end == component_.size() || (!continues_a_word(component_[end]) && component_[end] != '-');
    if (begins && ends) return true;
  }
  return false;
}

std::vector<pid_t> find_processes(const std::string& uid, const std::string& proc) {
  std::vector<pid_t> members;
  for (const pid_t pid : process::list_all_processes(proc)) {
    if (is_in_pod(pid, uid, proc) && !process::is_doomed(pid, proc)) members.push_back(pid);
  }
  return members;
}

void Pods::kill(const std::string& uid) const {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  // Twice in a row nobody: a child that was made during the first look is found by the second.
  int quiet = 0;
  while (quiet < 2) {
    const std::vector<pid_t> members = find_processes(uid, settings_.proc);
    quiet = members.empty() ? quiet + 1 : 0;
    if (members.empty()) continue;
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(
          ErrorCode::Unavailable,
          fmt::format("processes of pod {} are still running after SIGKILL, for example {} ({})",
                      uid, members.front(), process::command_of(members.front())));
    }
    for (const pid_t pid : members) kill_member(pid, uid, settings_.proc);
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace plexvol::pods
