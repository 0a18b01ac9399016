#include "agent/part_settings.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "agent/api/random.h"
#include "agent/filesystem/filesystem.h"
#include "agent/filesystem/mkfs_options.h"
#include "agent/filesystem/mount_table.h"
#include "agent/filesystem/unmount.h"
#include "agent/process/namespaces.h"

namespace plexvol {

namespace {

// Often enough to notice in time that a node has been away for too long.
std::chrono::seconds patrol_time(const Config& config) {
  return std::chrono::seconds(std::clamp(config.rebuild_seconds / 4, 1U, 60U));
}

// Where this process sees the host's /: with the host's processes, as the agent needs them anyway,
// its files are there, too.
std::string host_root() {
  return process::in_host_mount_namespace() ? "" : "/proc/1/root";
}

std::function<bool(const std::string&)> dead_pods(const pods::Pods& pods) {
  return [&pods](const std::string& uid) { return pods.find(uid).life == pods::Life::Dead; };
}

std::function<bool(const std::string&)> volumes_being_mounted(const mounting::MountCalls& calls) {
  return [&calls](const std::string& volume) {
    const mounting::Counts counts = calls.counts(volume);
    return counts.waiting + counts.mounting > 0;
  };
}

// What is wrong with a volume's mounts.
std::string mount_faults(const std::string& volume, const mounting::PodDirectories& directories,
                         const mounting::EndedPods& ended) {
  const std::string missing = directories.missing(volume);
  const std::string left = ended.report(volume);
  return missing.empty() || left.empty() ? missing + left : missing + "; " + left;
}

}  // namespace

std::string helper_memory(const Config& config) {
  return config.state_directory + "/usermode_helper.before";
}

mounting::PodDirectorySettings directory_settings(const Config& config, const pods::Pods& pods,
                                                  const mounting::MountCalls& calls,
                                                  reconcile::Queue& queue) {
  return {.memory = config.state_directory + "/kubelets",
          .root = host_root,
          .is_proved_dead = dead_pods(pods),
          .is_being_mounted = volumes_being_mounted(calls),
          .unmount = filesystem::unmount_in_host,
          .changed = [&queue](const std::string& volume) { queue.add(volume); }};
}

mounting::EndedPodSettings ended_pod_settings(const Config& config, const pods::Pods& pods,
                                              const mounting::MountCalls& calls,
                                              reconcile::Queue& queue) {
  return {.pod_of = pods::uid_in_path,
          .has_sandbox = [&pods](const std::string& uid) { return pods.has_sandbox(uid); },
          .is_proved_dead = dead_pods(pods),
          .is_being_mounted = volumes_being_mounted(calls),
          .unmount = filesystem::unmount_in_host,
          .changed = [&queue](const std::string& volume) { queue.add(volume); },
          .patience = std::chrono::seconds(config.ended_pod_seconds)};
}

reconcile::ReconcilerSettings reconciler_settings(const Config& config, const std::string& session,
                                                  reconcile::NodeReport& report,
                                                  reconcile::Queue& queue,
                                                  const mounting::PodDirectories& directories,
                                                  const mounting::EndedPods& ended) {
  return {.here = config.node_name,
          .session = session,
          .connect_time = std::chrono::seconds(config.drbd.connect_seconds),
          .rebuild_time = std::chrono::seconds(config.rebuild_seconds),
          .resync_limits = {.max = config.drbd.max_resyncs,
                            .short_bytes = std::uint64_t{config.drbd.short_resync_mib} << 20U},
          .first_port = static_cast<std::uint16_t>(config.drbd.first_port),
          .space_changed = [&report] { report.look_again(); },
          .resyncs_changed = [&queue] { queue.add(reconcile::Workers::kResyncs); },
          .unmounted = [&queue] { queue.add(reconcile::Workers::kDirectories); },
          .missing_mounts =
              [&](const std::string& volume) { return mount_faults(volume, directories, ended); }};
}

pods::Settings pods_settings(const Config& config) {
  return {.runtime_sockets = config.runtime_sockets, .host_root = host_root()};
}

volumes::Settings volume_settings(const Config& config, const std::string& session,
                                  filesystem::Filesystem& filesystem, reconcile::Queue& queue,
                                  mounting::PodDirectories& directories, drbd::Drbd& drbd) {
  return {
      .here = config.node_name,
      .session = session,
      .version = PLEXVOL_VERSION,
      .first_port = static_cast<std::uint16_t>(config.drbd.first_port),
      // A node that is cut off and silent is rather done without than waited for until its
      // lease ends, which takes longer still when etcd has lost its leader with it.
      .silence = std::chrono::milliseconds(config.store.lease_seconds * 1000 / 8),
      .try_mkfs =
          [&filesystem](const std::string& fs_type, const std::string& options,
                        std::uint64_t size_bytes) {
            filesystem.try_make({.device = {},
                                 .type = fs_type,
                                 .uuid = random_uuid(),
                                 .options = filesystem::parse_mkfs_options(fs_type, options)},
                                size_bytes);
          },
      // By the file alone: DRBD's tools may have to wait until the kernel is answered.
      .owns_resource =
          [&drbd](const model::Volume& volume) {
            return !drbd.has_config(volume.name) || drbd.has_config_of(volume.name, volume.secret);
          },
      .target_named = [&directories](const std::string& target) { directories.remember(target); },
      .mounts_changed = [&queue] { queue.add(reconcile::Workers::kMounts); }};
}

http::Settings server_settings(const Config& config) {
  http::Settings settings;
  settings.socket_paths = config.sockets;
  settings.max_connections = config.max_connections;
  // A frozen volume waits for the answer, and with it every call that waits for the volume.
  settings.urgent_paths = {api::kHelperPath};
  return settings;
}

drbd::Settings drbd_settings(const Config& config) {
  return {.config_directory = config.drbd.config_directory,
          .try_nine = config.drbd.newest >= 9,
          .resync_rate_mib = config.drbd.resync_rate_mib};
}

reconcile::MirroringSettings mirroring_settings(const Config& config,
                                                const reconcile::OwnAddress& address) {
  return {.address = [&address] { return address.get(); },
          .helper = config.drbd.helper,
          .helper_memory = helper_memory(config)};
}

reconcile::WorkerSettings worker_settings(const Config& config, reconcile::Reconciler& reconciler,
                                          mounting::PodDirectories& directories,
                                          mounting::EndedPods& ended) {
  return {.here = config.node_name,
          .workers = config.workers,
          .patrol = patrol_time(config),
          // In this order: a directory whose mount is taken down now can be removed.
          .look_at_directories = [&reconciler, &directories, &ended] {
            ended.look(reconciler.list_mounts());
            return directories.look();
          }};
}

reconcile::NodeReportSettings report_settings(const Config& config, const std::string& session,
                                              reconcile::OwnAddress& address,
                                              reconcile::Mirroring& mirroring) {
  return {.here = config.node_name,
          .session = session,
          .lease = std::chrono::seconds(config.store.lease_seconds),
          .address = [&address] { return address.look(); },
          .version = PLEXVOL_VERSION,
          .mirror_error = [&mirroring] { return mirroring.keep(); },
          .pools = config.pools};
}

}  // namespace plexvol
