// Where volumes live, and where the agent keeps what it knows.
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/api/names.h"
#include "agent/doctor/look.h"

namespace plexvol::doctor {

namespace {

// Below this a pool or file system counts as nearly full.
constexpr std::uint64_t kTenth = 10;

void look_at_pool(const reconcile::PoolSettings& settings, const Examination& examination) {
  const std::string what = "pool " + settings.name;
  model::Pool pool;
  try {
    reconcile::make_pool(settings, examination.runner)->measure(pool);
  } catch (const Error& error) {
    const std::string where = settings.type == "file" ? "make the directory " + settings.directory
                                                      : "make it (vgcreate, lvcreate --thinpool)";
    return examination.report.fault(what, error.what(), "there and whole",
                                    where + ", or mend `pools` in the agent's configuration");
  }
  const std::string found =
      size_to_text(pool.free_bytes) + " of " + size_to_text(pool.total_bytes) + " free";
  if (pool.free_bytes >= pool.total_bytes / kTenth) {
    return examination.report.ok(what, found, "a tenth of it free");
  }
  examination.report.warn(what, found, "a tenth of it free",
                          settings.type == "lvm-thin"
                              ? "extend it (lvextend) or delete volumes: a thin pool that is full "
                                "fails the writes of all its volumes"
                              : "extend it, or delete volumes: no new ones fit soon");
}

void look_at_state_directory(const Examination& examination) {
  const std::string& path = examination.subject.state_directory;
  const std::string what = "directory " + path;
  constexpr const char* kWanted = "writable, with room";
  struct statvfs space {};
  std::string existing = path;
  while (existing.size() > 1 && ::access(existing.c_str(), F_OK) != 0) {
    existing.erase(std::max<std::size_t>(existing.rfind('/'), 1));
  }
  if (::statvfs(existing.c_str(), &space) != 0 || ::access(existing.c_str(), W_OK) != 0 ||
      (space.f_flag & ST_RDONLY) != 0) {
    return examination.report.fault(what, "cannot be written to", kWanted,
                                    "give the agent another state_directory, or mount it writable");
  }
  constexpr std::uint64_t kLeast = 16ULL << 20;
  const std::uint64_t free = space.f_bavail * space.f_frsize;
  if (free < kLeast) {
    return examination.report.fault(what, size_to_text(free) + " free", kWanted,
                                    "make room: configurations of DRBD cannot be written");
  }
  examination.report.ok(what, size_to_text(free) + " free", kWanted);
}

void look_at_udev(const Examination& examination) {
  if (::access((examination.subject.places.run + "/udev/control").c_str(), F_OK) == 0) {
    return examination.report.ok("udev", "runs", "runs");
  }
  examination.report.fault("udev", "no " + examination.subject.places.run + "/udev/control", "runs",
                           "start systemd-udevd; in a container, mount the host's /run/udev: "
                           "without it, /dev/<group>/<volume> does not appear");
}

}  // namespace

void look_at_pools(const Examination& examination) {
  const Subject& subject = examination.subject;
  if (subject.pools.empty()) {
    examination.report.warn("pools", "none", "at least one on some nodes",
                            "name them in `pools`: without any, this node only mounts volumes that "
                            "other nodes hold, which needs a copy here");
  }
  for (const auto& pool : subject.pools) {
    examination.report.look("pool " + pool.name, "see the agent's log for what hangs",
                            [&] { look_at_pool(pool, examination); });
  }
  if (has_pool_of(subject, "lvm") || has_pool_of(subject, "lvm-thin")) look_at_udev(examination);
  look_at_state_directory(examination);
}

}  // namespace plexvol::doctor
