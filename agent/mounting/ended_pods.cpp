#include "agent/mounting/ended_pods.h"

#include <fmt/core.h>

#include <set>
#include <utility>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/log.h"

namespace plexvol::mounting {

namespace {

std::string describe(const std::string& volume, const std::string& path, const std::string& pod,
                     std::int64_t since) {
  return fmt::format(
      "volume {} is mounted on {} for pod uid {}, which has had no sandbox and no process since {}",
      volume, path, pod, time_to_text(since));
}

}  // namespace

EndedPods::EndedPods(EndedPodSettings settings) : settings_(std::move(settings)) {}

void EndedPods::look(const std::map<std::string, std::vector<std::string>>& mounts) {
  std::map<std::string, Mount> found;
  std::map<std::string, std::optional<bool>> sandboxes;  // by pod
  bool is_answered = true;
  for (const auto& [volume, paths] : mounts) {
    for (const std::string& path : paths) {
      const auto uid = settings_.pod_of(path);
      if (!uid) continue;
      const std::string& pod = *uid;
      // A runtime that is silent takes seconds for each question.
      if (is_answered && !sandboxes.contains(pod)) {
        sandboxes[pod] = settings_.has_sandbox(pod);
        is_answered = sandboxes[pod].has_value();
      }
      Mount mount{.volume = volume, .pod = pod, .dead_since = {}, .report = {}};
      const auto before = mounts_.find(path);
      if (before != mounts_.end() && before->second.volume == volume) mount = before->second;
      if (look_at(path, mount, sandboxes[pod])) found[path] = std::move(mount);
    }
  }
  keep(std::move(found));
}

bool EndedPods::look_at(const std::string& path, Mount& mount,
                        std::optional<bool> has_sandbox) const {
  mount.report.reset();
  const bool is_known = has_sandbox.value_or(false);
  mount.had_sandbox = mount.had_sandbox || is_known;
  if (!has_sandbox || is_known || settings_.is_being_mounted(mount.volume) ||
      !settings_.is_proved_dead(mount.pod)) {
    mount.dead_since.reset();
    return true;
  }
  const auto now = settings_.now();
  if (!mount.dead_since) {
    mount.dead_since = now;
    mount.dead_since_time = std::chrono::duration_cast<std::chrono::seconds>(
                                std::chrono::system_clock::now().time_since_epoch())
                                .count();
  }
  if (now - *mount.dead_since < settings_.patience) return true;
  if (mount.had_sandbox) return !take_down(path, mount);
  mount.report = {
      .found = describe(mount.volume, path, mount.pod, mount.dead_since_time),
      .advice = fmt::format("if the pod is stuck in Terminating, run `plexvol unmount {}` on this "
                            "node; a pod that is still waiting to start needs the mount",
                            path)};
  return true;
}

bool EndedPods::take_down(const std::string& path, Mount& mount) const {
  std::string problem = "it is busy";
  try {
    if (settings_.unmount(path)) {
      log::warn(describe(mount.volume, path, mount.pod, mount.dead_since_time) +
                    "; unmounted it, because the kubelet no longer tracks this pod",
                {{"volume", mount.volume}});
      return true;
    }
  } catch (const Error& error) {
    problem = error.what();
  }
  mount.report = {
      .found = fmt::format("{}, and cannot be unmounted: {}",
                           describe(mount.volume, path, mount.pod, mount.dead_since_time), problem),
      .advice = "stop the process that uses it (retrying every minute)"};
  return false;
}

void EndedPods::keep(std::map<std::string, Mount> mounts) {
  std::set<std::string> changed;
  const auto note_difference = [&](const auto& some, const auto& others) {
    for (const auto& [path, mount] : some) {
      const auto other = others.find(path);
      const std::string report = other == others.end() ? "" : to_text(other->second.report);
      if (to_text(mount.report) != report) changed.insert(mount.volume);
    }
  };
  note_difference(mounts, mounts_);
  note_difference(mounts_, mounts);
  for (const auto& [path, mount] : mounts) {
    const auto before = mounts_.find(path);
    const std::string report = to_text(mount.report);
    const bool is_new = before == mounts_.end() || to_text(before->second.report) != report;
    if (mount.report && is_new) log::warn(report, {{"volume", mount.volume}});
  }
  {
    const std::lock_guard lock(mutex_);
    mounts_ = std::move(mounts);
  }
  for (const std::string& volume : changed) settings_.changed(volume);
}

std::string EndedPods::report(const std::string& volume) const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [path, mount] : mounts_) {
    if (mount.volume != volume || !mount.report) continue;
    text += (text.empty() ? "" : "; ") + to_text(mount.report);
  }
  return text;
}

std::vector<MountReport> EndedPods::list_reports() const {
  const std::lock_guard lock(mutex_);
  std::vector<MountReport> reports;
  for (const auto& [path, mount] : mounts_) {
    if (mount.report) reports.push_back(*mount.report);
  }
  return reports;
}

std::string EndedPods::to_text(const std::optional<MountReport>& report) {
  return report ? fmt::format("{}; {}", report->found, report->advice) : "";
}

}  // namespace plexvol::mounting
