#include "flexdriver/install/host_processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/files.h"
#include "agent/base/text.h"

namespace plexvol::driver {

namespace {

constexpr std::size_t kLongestFile = 1U << 20U;
constexpr std::size_t kShortestUid = 32;  // a static pod's: 32 hexadecimal digits, without dashes

std::optional<std::string> read_at(int folder, const char* name) {
  const base::Descriptor file(::openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  return file.is_open() ? base::read_all(file.get(), kLongestFile) : std::nullopt;
}

// "user:[4026531837]"; std::nullopt: gone, or not ours to look at.
std::optional<std::string> namespace_of(int folder, const char* name) {
  std::array<char, 64> text{};
  const ssize_t size = ::readlinkat(folder, name, text.data(), text.size());
  if (size <= 0) return std::nullopt;
  return std::string(text.data(), static_cast<std::size_t>(size));
}

// The rest of the line "KEY:\t...".
std::string_view field_of(std::string_view status, std::string_view key) {
  for (std::size_t at = 0; at < status.size();) {
    const std::size_t end = std::min(status.find('\n', at), status.size());
    const std::string_view line = status.substr(at, end - at);
    if (line.starts_with(key)) return line.substr(key.size());
    at = end + 1;
  }
  return {};
}

class Judge {
 public:
  Judge(const std::string& proc, const TrustedDir& root) : root_(root.info()) {
    const base::Descriptor first(::open((proc + "/1").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    pid_ = namespace_of(first.get(), "ns/pid").value_or("");
    user_ = namespace_of(first.get(), "ns/user").value_or("");
    mount_ = namespace_of(first.get(), "ns/mnt").value_or("");
    if (!pid_.empty() && !user_.empty() && !mount_.empty()) return;
    throw Error(ErrorCode::Internal,
                "cannot tell the kubelet from other processes of its name: " + proc +
                    "/1/ns: " + base::error_text(errno) +
                    "; run this as root (in a container: privileged, with hostPID), or name the "
                    "directory with --plugin-dir");
  }

  bool is_trusted(int folder, std::string_view status) const {
    if (field_of(status, "Uid:") != "\t0\t0\t0\t0") return false;
    if (namespace_of(folder, "ns/pid") != pid_ || namespace_of(folder, "ns/user") != user_) {
      return false;
    }
    // A kernel without cgroups has no such file, and no pods.
    const auto cgroup = read_at(folder, "cgroup");
    if (cgroup ? is_in_pod(*cgroup) : errno != ENOENT) return false;
    struct stat program {};
    return ::fstatat(folder, "exe", &program, 0) == 0 && S_ISREG(program.st_mode) &&
           program.st_uid == 0 && (program.st_mode & (S_ISUID | S_IWGRP | S_IWOTH)) == 0;
  }

  bool is_in_container(int folder) const {
    struct stat own {};
    return namespace_of(folder, "ns/mnt") != mount_ || ::fstatat(folder, "root", &own, 0) != 0 ||
           own.st_dev != root_.st_dev || own.st_ino != root_.st_ino;
  }

 private:
  struct stat root_;
  std::string pid_;
  std::string user_;
  std::string mount_;
};

// Each process once, by a descriptor of its folder and what the kernel says of it.
void for_each_process(
    const std::string& proc,
    const std::function<void(const std::string&, base::Descriptor, const std::string&)>& visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(proc.c_str()), &::closedir);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread, one stream
  for (const dirent* entry = stream ? ::readdir(stream.get()) : nullptr; entry != nullptr;
       entry = ::readdir(stream.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string pid = entry->d_name;
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    base::Descriptor folder(::openat(::dirfd(stream.get()), pid.c_str(),
                                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    const auto status = folder.is_open() ? read_at(folder.get(), "status") : std::nullopt;
    if (status) visit(pid, std::move(folder), *status);
  }
}

bool is_pods_name(std::string_view text) {
  const std::size_t uid = text.find_first_not_of("0123456789abcdef-_");
  const std::size_t length = std::min(uid, text.size());
  return length >= kShortestUid && text.front() != '-' && text.front() != '_';
}

}  // namespace

bool is_in_pod(const std::string& cgroup) {
  constexpr std::string_view kPods = "kubepods";
  constexpr std::string_view kPod = "pod";
  if (cgroup.find(kPods) != std::string::npos) return true;
  for (std::size_t at = cgroup.find(kPod); at != std::string::npos; at = cgroup.find(kPod, at)) {
    at += kPod.size();
    if (is_pods_name(std::string_view(cgroup).substr(at))) return true;
  }
  return false;
}

HostProcesses list_host_processes(const std::string& proc, const TrustedDir& root,
                                  const std::vector<std::string_view>& names) {
  HostProcesses found;
  const Judge judge(proc, root);
  for_each_process(
      proc, [&](const std::string& pid, base::Descriptor folder, const std::string& status) {
        if (judge.is_trusted(folder.get(), status)) {
          const bool apart = judge.is_in_container(folder.get());
          auto words = base::split(read_at(folder.get(), "cmdline").value_or(""), '\0');
          found.trusted.push_back({pid, std::move(folder), std::move(words), apart});
          return;
        }
        std::string_view name = field_of(status, "Name:");
        name.remove_prefix(std::min<std::size_t>(name.size(), 1));
        if (std::find(names.begin(), names.end(), name) != names.end()) {
          found.unheeded.push_back(pid);
        }
      });
  return found;
}

std::vector<std::string> list_running(const std::string& proc, const TrustedDir& root,
                                      const struct stat& program) {
  std::array<char, 32> text{};
  const ssize_t size = ::readlink((proc + "/self").c_str(), text.data(), text.size());
  const std::string self(text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  std::vector<std::string> pids;
  const Judge judge(proc, root);
  for_each_process(proc,
                   [&](const std::string& pid, base::Descriptor folder, const std::string& status) {
                     if (pid == self || !judge.is_trusted(folder.get(), status)) return;
                     struct stat own {};
                     if (::fstatat(folder.get(), "exe", &own, 0) != 0) return;
                     if (own.st_dev == program.st_dev && own.st_ino == program.st_ino)
                       pids.push_back(pid);
                   });
  return pids;
}

}  // namespace plexvol::driver
