#include "agent/reconcile/observe.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <set>
#include <utility>

#include "agent/filesystem/find_use.h"
#include "agent/filesystem/mount_table.h"
#include "agent/filesystem/mounted_fault.h"
#include "agent/filesystem/probe.h"
#include "agent/mounts/guard.h"
#include "agent/reconcile/stack.h"

namespace plexvol::reconcile {

bool copy_stays(const Wanted& wanted) {
  return !wanted.volume.deleting && wanted.volume.find_replica(wanted.here) != nullptr;
}

std::uint64_t copy_size_bytes(const Wanted& wanted) {
  const model::Volume& volume = wanted.volume;
  if (volume.wanted_copies() == 1) return volume.size_bytes;
  // Beyond this, extents are no powers of two and have nothing to do with each other.
  constexpr std::uint64_t kMostExtent = std::uint64_t{1} << 32U;
  std::uint64_t extent = 1;
  for (const std::string& name : volume.nodes()) {
    const auto node = wanted.nodes.find(name);
    if (node == wanted.nodes.end()) {
      throw Error(ErrorCode::Unavailable,
                  fmt::format("volume {}: waiting for the agent on {} to announce its pools",
                              volume.name, name));
    }
    const model::Pool* pool = node->second.find_pool(volume.pool);
    if (pool == nullptr || pool->extent_bytes == 0 || pool->extent_bytes > kMostExtent) continue;
    const std::uint64_t common = std::lcm(extent, pool->extent_bytes);
    extent = common > kMostExtent ? std::max(extent, pool->extent_bytes) : common;
  }
  const std::uint64_t rounded = (volume.size_bytes + extent - 1) / extent * extent;
  return std::max(rounded, wanted.peer_device_bytes);
}

Pool& get_pool(const Tools& tools, const model::Volume& volume) {
  const auto found = tools.pools.find(volume.pool);
  if (found == tools.pools.end()) {
    throw Error(ErrorCode::NotFound,
                fmt::format("volume {} is in pool {}, which is not configured on this node",
                            volume.name, volume.pool));
  }
  return *found->second;
}

namespace {

// The peer of a volume that has none: DRBD wants an address, and nobody answers on this one.
drbd::Host nobody(const model::Node& here, std::uint16_t port) {
  const bool is_ipv6 = here.address.find(':') != std::string::npos;
  return {.node = "", .address = is_ipv6 ? "::1" : "127.0.0.1", .port = port};
}

}  // namespace

drbd::Resource to_resource(const Wanted& wanted, const Seen& seen) {
  const model::Volume& volume = wanted.volume;
  const model::Replica* own = volume.find_replica(wanted.here);
  const unsigned number = own == nullptr ? 0 : own->number;
  const auto host = [&](const std::string& name) {
    const auto node = wanted.nodes.find(name.empty() ? wanted.here : name);
    if (node == wanted.nodes.end() || node->second.address.empty()) {
      throw Error(ErrorCode::Unavailable,
                  fmt::format("volume {}: waiting for the agent on {} to announce its address",
                              volume.name, name));
    }
    drbd::Host found =
        name.empty()
            ? nobody(node->second, volume.port)
            : drbd::Host{.node = name, .address = node->second.address, .port = volume.port};
    const unsigned other = number == 0 ? 1 : 0;
    found.number = name == wanted.here ? number : other;
    return found;
  };
  return {.name = volume.name,
          .minor = volume.minor,
          .secret = volume.secret,
          .data_device = seen.data ? seen.data->device : "",
          .metadata_device = seen.metadata ? seen.metadata->device : "",
          .here = host(wanted.here),
          .peer = host(volume.peer_of(wanted.here))};
}

namespace {

// Then DRBD may have both devices open.
bool may_be_in_drbd(const Wanted& wanted) {
  const model::Replica* replica = wanted.volume.find_replica(wanted.here);
  return has_layer(wanted.volume, Layer::Drbd) && !wanted.volume.deleting && replica != nullptr &&
         replica->made;
}

// DRBD has both devices open, by the file that holds this very volume's secret: they exist, are
// active, and are ours. lvm2 need not be asked, which costs more than all the other looks together.
bool is_open_by_drbd(const Wanted& wanted, const Tools& tools, Seen& seen) {
  const auto& resource = seen.resource;
  if (!resource || resource->disk_state.empty() || resource->disk_state == "Diskless" ||
      resource->disk_state == "Failed") {
    return false;
  }
  const Pool& pool = get_pool(tools, wanted.volume);
  seen.data = pool.known(wanted.volume.name);
  seen.metadata = pool.known(metadata_name(wanted.volume));
  return seen.data && seen.metadata && tools.drbd.config_is_current(to_resource(wanted, seen));
}

// Until lvm2 is asked what is known of the resource stays `fresh`: that takes a while, and what is
// decided rests on whether the two are connected.
void look_at_backing(const Wanted& wanted, const Tools& tools, Seen& seen, bool& fresh) {
  const model::Volume& volume = wanted.volume;
  // What is removed may have more than its record says.
  const std::vector<Part> parts = copy_stays(wanted) ? parts_of(volume) : all_parts_of(volume);
  std::vector<std::string> names;
  names.reserve(parts.size());
  for (const Part& part : parts) names.push_back(part.name);
  Pool& pool = get_pool(tools, volume);
  // Before it is removed, its tags must say again that it is ours.
  seen.absence_is_certain = pool.absence_is_certain();
  auto found = copy_stays(wanted) ? pool.recall(names, volume.id) : std::nullopt;
  if (!found) {
    fresh = false;
    found = pool.find(names, volume.id);
  }
  seen.data.reset();
  seen.metadata.reset();
  for (const Part& part : parts) {
    const auto backing = found->find(part.name);
    if (backing != found->end()) seen.*part.backing = std::move(backing->second);
  }
}

// A volume group that is gone, or a peer without an address, must not keep a primary from being
// parted or thawed.
template <class Look>
void note_failure(Seen& seen, Look look) {
  try {
    look();
  } catch (const Error& error) {
    seen.data.reset();
    seen.metadata.reset();
    seen.config_current = false;
    seen.backing_error = error;
  }
}

std::optional<Device> find_device(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return std::nullopt;
  return Device{.path = path, .major = major(status.st_rdev), .minor = minor(status.st_rdev)};
}

filesystem::Probe look_at_content(const Wanted& wanted, const std::string& device) {
  return wanted.volume.format == model::Format::Done
             ? filesystem::probe_formatted_apart(device, wanted.volume.fs_type)
             : filesystem::probe_apart(device);
}

}  // namespace

std::uint64_t device_size_bytes(const std::string& device) {
  constexpr std::uint64_t kSector = 512;  // of /sys, whatever the device's is
  const auto found = find_device(device);
  if (!found) return 0;
  std::ifstream file(fmt::format("/sys/dev/block/{}:{}/size", found->major, found->minor));
  std::uint64_t sectors = 0;
  file >> sectors;
  return sectors * kSector;
}

void observe_resource(const Wanted& wanted, const Tools& tools, Seen& seen) {
  const model::Volume& volume = wanted.volume;
  seen.resource.reset();
  seen.resource_is_foreign = false;
  seen.mirror_left = false;
  // A node that was away when the volume lost its mirror, or got another one, by another minor, goes
  // by the secret.
  const bool by_secret =
      !copy_stays(wanted) && tools.drbd.has_config_of(volume.name, volume.secret);
  if (!has_layer(volume, Layer::Drbd)) {
    seen.mirror_left = by_secret;
    return;
  }
  auto found = tools.drbd.find_resource(volume.name);
  if (!found) return;
  const bool is_old = by_secret && found->role != "Primary";
  seen.resource_is_foreign =
      !is_old && !tools.drbd.is_own(volume.name, *found, volume.minor, volume.secret);
  if (!seen.resource_is_foreign) seen.resource = std::move(found);
}

void observe_resource_and_backing(const Wanted& wanted, const Tools& tools, Seen& seen) {
  seen.backing_error.reset();
  bool fresh = may_be_in_drbd(wanted);
  if (fresh) observe_resource(wanted, tools, seen);
  note_failure(seen, [&] {
    if (!fresh || !is_open_by_drbd(wanted, tools, seen)) {
      look_at_backing(wanted, tools, seen, fresh);
    }
  });
  if (!fresh) observe_resource(wanted, tools, seen);
}

void observe_device(const Wanted& wanted, const Tools& tools, Seen& seen) {
  const model::Volume& volume = wanted.volume;
  if (has_layer(volume, Layer::Drbd)) {
    // What is being deleted or was replaced needs no configuration, and may have no peer any more.
    const bool complete =
        find_missing_part(volume, seen).empty() && have_devices(volume, seen) && copy_stays(wanted);
    seen.config_current = false;
    seen.connection_current = false;
    seen.only_resync_options_changed = false;
    if (complete) {
      note_failure(seen, [&] {
        const drbd::Resource resource = to_resource(wanted, seen);
        seen.config_current = tools.drbd.config_is_current(resource);
        seen.connection_current = seen.config_current || tools.drbd.connection_is_current(resource);
        seen.only_resync_options_changed =
            !seen.config_current && tools.drbd.only_resync_options_differ(resource);
      });
    }
  }
  seen.data_bytes = seen.data && seen.data->active ? device_size_bytes(seen.data->device) : 0;
  seen.device = find_device(device_path(volume, seen));
  seen.device_bytes = seen.device ? device_size_bytes(seen.device->path) : 0;
  if (!seen.device || (seen.resource && seen.resource->role != "Primary")) {
    seen.just_formatted = false;
  }
  const std::string target = tools.links.find_target(volume.name);
  // Without a device any left-over link must go; with one it must lead there.
  seen.linked = !target.empty() && (!seen.device || target == seen.device->path);
}

namespace {

void observe_mounts(const Wanted& wanted, Seen& seen) {
  seen.mounts.clear();
  if (!seen.device) return;
  seen.mounts = filesystem::list_mounts(seen.device->major, seen.device->minor,
                                        mounts::placeholder_source(wanted.volume.name));
}

// Asking for one pod may take seconds: the first one that keeps the volume is enough.
std::optional<PodUse> find_pod(const std::vector<std::string>& mounts, const pods::Pods& pods) {
  std::set<std::string> dead;
  for (const std::string& mount : mounts) {
    const auto uid = pods::uid_in_path(mount);
    if (!uid || dead.contains(*uid)) continue;
    pods::Verdict verdict = pods.find(*uid);
    if (verdict.life != pods::Life::Dead) {
      return PodUse{.uid = *uid, .mount = mount, .verdict = std::move(verdict)};
    }
    dead.insert(*uid);
  }
  return std::nullopt;
}

}  // namespace

void observe_for_arbitration(const Wanted& wanted, const Tools& tools, Seen& seen) {
  seen.backing_error.reset();
  observe_resource(wanted, tools, seen);
  note_failure(seen, [&] {
    if (is_open_by_drbd(wanted, tools, seen)) return;
    throw Error(ErrorCode::Unavailable, "only DRBD was looked at");
  });
  observe_device(wanted, tools, seen);
  observe_mounts(wanted, seen);
}

void observe_use(const Wanted& wanted, const Tools& tools, Seen& seen) {
  // The calls first: one that comes later finds its own pass.
  seen.calls = tools.calls.counts(wanted.volume.name);
  observe_mounts(wanted, seen);
  seen.users.clear();
  seen.pod.reset();
  seen.content.reset();
  seen.mounted_fault.clear();
  if (!seen.device) return;
  if (needs_users(wanted, seen)) {
    seen.users = filesystem::find_use(seen.device->major, seen.device->minor).users;
    seen.pod = find_pod(seen.mounts, tools.pods);
  }
  // Mounted where process 1 does not see it, as by a kubelet in a container, it is in use all the
  // same.
  if (needs_content(wanted, seen) &&
      !filesystem::is_mounted_anywhere(seen.device->major, seen.device->minor)) {
    seen.content = look_at_content(wanted, seen.device->path);
  }
  if (seen.calls.waiting == 0 || frozen(seen)) return;
  for (const std::string& mount : seen.mounts) {
    seen.mounted_fault =
        filesystem::find_mounted_fault(mount, seen.device->major, seen.device->minor);
    if (!seen.mounted_fault.empty()) return;
  }
}

}  // namespace plexvol::reconcile
