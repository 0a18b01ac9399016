#include "agent/mounting/pod_directories.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "agent/api/error.h"
#include "agent/base/files.h"
#include "agent/log.h"

namespace plexvol::mounting {

namespace {

constexpr const char* kUsualPods = "/var/lib/kubelet/pods";
// Kubelets of one machine. A path more is not worth a file that grows for ever.
constexpr std::size_t kMostKubelets = 16;

std::string words_of(const std::string& path, const std::string& pod, const std::string& volume) {
  return fmt::format(
      "volume {} is no longer mounted on {}, but pod {} may still be running: its containers "
      "cannot write there; delete the pod, so that its controller creates a new one",
      volume, path, pod);
}

}  // namespace

PodDirectories::PodDirectories(PodDirectorySettings settings) : settings_(std::move(settings)) {
  std::ifstream memory(settings_.memory);
  for (std::string line; pods_.size() < kMostKubelets && std::getline(memory, line);) {
    if (line.starts_with('/')) pods_.insert(line);
  }
  pods_.insert(kUsualPods);
}

void PodDirectories::remember(const std::string& target) {
  const auto directory = mounts::parse_pod_volume(target);
  if (!directory || !directory->pods.starts_with('/') ||
      directory->pods.find('\n') != std::string::npos) {
    return;
  }
  const std::lock_guard lock(mutex_);
  if (pods_.contains(directory->pods) || pods_.size() >= kMostKubelets) return;
  pods_.insert(directory->pods);
  try {
    write_memory();
  } catch (const Error& error) {
    log::warn(error.what());
  }
}

void PodDirectories::write_memory() const {
  std::string text;
  for (const std::string& pods : pods_) text += pods + '\n';
  std::error_code ignored;  // then it cannot be written either
  std::filesystem::create_directories(std::filesystem::path(settings_.memory).parent_path(),
                                      ignored);
  if (base::replace_file(settings_.memory, text)) return;
  throw Error(ErrorCode::Internal,
              fmt::format("cannot write {}: {}", settings_.memory, base::error_text(errno)));
}

Look PodDirectories::look() {
  std::set<std::string> pods;
  {
    const std::lock_guard lock(mutex_);
    pods = pods_;
  }
  const std::string root = settings_.root();
  std::map<std::string, Found> found;
  for (const std::string& directory : pods) {
    for (const mounts::PodVolume& volume : mounts::list_pod_volumes(directory, root)) {
      try {
        look_at(volume, root, found);
      } catch (const Error& error) {
        log::warn(error.what());
      }
    }
  }
  tell(found);
  if (found.empty()) return Look::Clear;
  const bool all_told =
      std::all_of(found.begin(), found.end(), [](const auto& entry) { return entry.second.told; });
  return all_told ? Look::Found : Look::Again;
}

void PodDirectories::look_at(const mounts::PodVolume& directory, const std::string& root,
                             std::map<std::string, Found>& found) {
  const std::string path = mounts::to_path(directory);
  const auto bare = mounts::find_bare(path, root);
  if (!bare) return;
  const std::string volume = bare->volume.empty() ? directory.name : bare->volume;
  // A pod that is just starting has no container yet, and looks as if it had ended.
  if (settings_.is_being_mounted(volume)) return;
  if (settings_.is_proved_dead(directory.pod)) {
    // The question may take a while, in which the call of a pod that starts has come.
    if (!settings_.is_being_mounted(volume)) remove(path, root, bare->guarded);
    return;
  }
  if (!bare->guarded) return;
  found[path] = {.pod = directory.pod, .volume = volume, .since = std::chrono::steady_clock::now()};
}

void PodDirectories::remove(const std::string& path, const std::string& root, bool guarded) {
  mounts::Removal removal = mounts::remove_bare(path, root);
  if (removal == mounts::Removal::Mounted && guarded && settings_.unmount(path)) {
    removal = mounts::remove_bare(path, root);
  }
  if (removal == mounts::Removal::Removed) {
    not_empty_.erase(path);
    log::info("removed the directory of a pod that has ended", {{"path", path}});
  } else if (removal == mounts::Removal::NotEmpty && not_empty_.insert(path).second) {
    log::warn(path +
              ": its pod has ended, but the directory is not empty: something was written there "
              "while no volume was mounted; save what you need and remove the directory, since the "
              "kubelet waits for that");
  }
}

// What is new must have been seen for a while; the rest keeps its time.
void PodDirectories::tell(std::map<std::string, Found>& found) {
  std::set<std::string> changed;
  for (auto& [path, entry] : found) {
    const auto before = found_.find(path);
    if (before == found_.end() || before->second.volume != entry.volume) continue;
    entry.since = before->second.since;
    entry.told = before->second.told;
  }
  const auto now = std::chrono::steady_clock::now();
  for (auto& [path, entry] : found) {
    if (entry.told || now - entry.since < settings_.patience) continue;
    entry.told = true;
    changed.insert(entry.volume);
    log::warn(words_of(path, entry.pod, entry.volume), {{"volume", entry.volume}});
  }
  for (const auto& [path, entry] : found_) {
    const auto still = found.find(path);
    if (entry.told && (still == found.end() || !still->second.told)) changed.insert(entry.volume);
  }
  {
    const std::lock_guard lock(mutex_);
    found_ = found;
  }
  for (const std::string& volume : changed) settings_.changed(volume);
}

std::string PodDirectories::missing(const std::string& volume) const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [path, entry] : found_) {
    if (!entry.told || entry.volume != volume) continue;
    text += (text.empty() ? "" : "; ") + words_of(path, entry.pod, volume);
  }
  return text;
}

}  // namespace plexvol::mounting
