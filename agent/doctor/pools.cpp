// Where volumes live, and where the agent keeps what it knows.
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/doctor/look.h"
#include "agent/placement/promises.h"

namespace plexvol::doctor {

namespace {

// Below this a pool or file system counts as nearly full.
constexpr std::uint64_t kTenth = 10;

constexpr const char* kComplete = "present and complete";

struct Measured {
  reconcile::PoolSettings settings;
  model::Pool pool;     // with the error when it could not be measured
  bool absent = false;  // the error is that it is not on this node
  std::unique_ptr<reconcile::Pool> found = nullptr;
};

// What the cluster knows of a pool that is not on this node.
struct Elsewhere {
  std::string copies_here;  // the volumes of which this node has a copy in it
  std::string nodes;        // that have it
  bool cordoned = false;    // this node: no new copy shall go there
};

std::string what_of(const Measured& measured) {
  return "pool " + measured.settings.name;
}

Measured measure(const reconcile::PoolSettings& settings, process::Runner& runner) {
  Measured measured{.settings = settings, .pool = {}};
  try {
    measured.found = reconcile::make_pool(settings, runner);
    measured.found->measure(measured.pool);
  } catch (const Error& error) {
    measured.pool.error = error.what();
    measured.absent = error.code() == ErrorCode::NotFound;
  }
  return measured;
}

void add_to(std::string& list, const std::string& word) {
  list += (list.empty() ? "" : ", ") + word;
}

// nullopt: there is no store to ask, or it does not answer, which is told of by itself.
std::optional<Elsewhere> ask_store(const std::string& pool, const Subject& subject) {
  if (subject.store == nullptr) return std::nullopt;
  try {
    Elsewhere elsewhere;
    for (const model::Volume& volume : subject.store->list_volumes()) {
      if (volume.pool == pool && volume.concerns(subject.here)) {
        add_to(elsewhere.copies_here, volume.name);
      }
    }
    for (const model::Node& node : subject.store->list_nodes()) {
      const model::Pool* found = node.find_pool(pool);
      if (node.name != subject.here && found != nullptr && found->error.empty()) {
        add_to(elsewhere.nodes, node.name);
      }
    }
    elsewhere.cordoned = subject.store->find_cordon(subject.here).has_value();
    return elsewhere;
  } catch (const Error&) {
    return std::nullopt;
  }
}

// For a pool that the tools surely say is not there. Making it is right only where it never was:
// vgcreate destroys a group whose disks are only not seen.
std::string how_to_make(const reconcile::PoolSettings& settings) {
  if (settings.type == "file") return "create the directory " + settings.directory;
  if (settings.type == "lvm-thin") {
    return "check pvs and lvs -a; create it only if this node never had it (lvcreate --thinpool, "
           "in a new group: vgcreate)";
  }
  return "check pvs and vgs; create it only if no disk of this node ever belonged to it (vgcreate)";
}

void tell_missing(const Measured& missing, Report& report) {
  report.fault(what_of(missing), missing.pool.error, kComplete,
               fmt::format("{}, or fix `pools` in the agent's configuration",
                           how_to_make(missing.settings)));
}

// It may be there: nothing is to be made then.
void tell_broken(const Measured& broken, Report& report) {
  report.fault(
      what_of(broken), broken.pool.error, kComplete,
      broken.settings.type == "file"
          ? fmt::format("check the directory {} and its file system", broken.settings.directory)
          : "check pvs, vgs and lvs -a, and the kernel's log for its disks");
}

// All nodes of a cluster may have one configuration (a ConfigMap), and a pool only some of them.
void tell_absent(const Measured& absent, bool others_here, const Examination& examination) {
  Report& report = examination.report;
  const auto elsewhere = ask_store(absent.settings.name, examination.subject);
  if (elsewhere && !elsewhere->copies_here.empty()) {
    return report.fault(what_of(absent),
                        fmt::format("{}; this node's replicas of {} were in it", absent.pool.error,
                                    elsewhere->copies_here),
                        kComplete, "bring its disks back, then check pvs and vgs");
  }
  if (!elsewhere || elsewhere->nodes.empty()) return tell_missing(absent, report);
  if (others_here || elsewhere->cordoned) {
    return report.ok(what_of(absent), "not on this node, only on " + elsewhere->nodes,
                     "present, or only on other nodes");
  }
  report.fault(what_of(absent), absent.pool.error, "at least one of the pools on each node",
               fmt::format("{}; or, if this node should hold no volumes: plexvol node cordon {}",
                           how_to_make(absent.settings), examination.subject.here));
}

void tell_room(const Measured& measured, Report& report) {
  const model::Pool& pool = measured.pool;
  constexpr const char* kWanted = "at least a tenth free";
  const std::string found =
      fmt::format("{} of {} free", size_to_text(pool.free_bytes), size_to_text(pool.total_bytes));
  if (pool.free_bytes >= pool.total_bytes / kTenth) {
    return report.ok(what_of(measured), found, kWanted);
  }
  report.warn(what_of(measured), found, kWanted,
              measured.settings.type == "lvm-thin"
                  ? "extend it (lvextend) or delete volumes: when a thin pool is full, writes to "
                    "all its volumes fail"
                  : "extend it, or delete volumes: soon no new one will fit");
}

// The volumes of a pool that they fill up as they are written to may be larger than it together.
// Told of only where they are: what is free is a line of its own.
void tell_promised(const Measured& measured, const Examination& examination) {
  const model::Pool& pool = measured.pool;
  if (examination.subject.store == nullptr || measured.settings.type == "lvm") return;
  placement::Promises promises;
  try {
    promises =
        placement::promises_of(examination.subject.here, examination.subject.store->list_volumes());
  } catch (const Error&) {
    return;  // told of by itself
  }
  const unsigned set = measured.settings.max_promised_percent;
  const unsigned limit = set == 0 ? 100 : set;
  const std::uint64_t bytes = promises[measured.settings.name].bytes;
  if (static_cast<double>(bytes) <=
      static_cast<double>(pool.total_bytes) / 100 * static_cast<double>(limit)) {
    return;
  }
  const std::string found =
      fmt::format("{}: volumes of {} in {}", placement::percent_text(bytes, pool.total_bytes),
                  size_to_text(bytes), size_to_text(pool.total_bytes));
  const std::string wanted =
      fmt::format("at most {}%{}", limit, set == 0 ? "" : " (max_promised_percent)");
  examination.report.warn(
      "promised in " + what_of(measured), found, wanted,
      "watch its free space, and extend it before it is full: when a pool is full, writes to all "
      "its volumes fail; max_promised_percent of the pool limits new volumes");
}

std::optional<std::set<std::string>> list_ids_here(const Subject& subject) {
  try {
    std::set<std::string> ids;
    const auto listing = subject.store->read_volumes();
    // Any copy may be that volume's, and is no remains as long as nobody knows.
    if (!listing.unreadable.empty()) return std::nullopt;
    for (const auto& [name, volume] : listing.records) {
      if (volume.concerns(subject.here)) ids.insert(volume.id);
    }
    return ids;
  } catch (const Error&) {
    return std::nullopt;  // told of by itself
  }
}

void tell_remains(const reconcile::PoolSettings& pool, const std::string& remains, Report& report) {
  const std::string how =
      pool.type == "file" ? fmt::format("losetup -d its device, rm {}/NAME.*", pool.directory)
                          : fmt::format("drbdsetup down NAME, lvremove {}/NAME", pool.volume_group);
  report.warn(
      "remains in pool " + pool.name, remains, "only replicas that the store knows",
      fmt::format(
          "do not delete these if etcd was restored or recreated: they may be the only replicas. "
          "Otherwise they were deleted or replaced while this node was down, and each can be "
          "removed: {}",
          how));
}

// What was deleted, or replaced by a new volume of its name, while this node was away. Nobody
// removes it by himself: to a store that was made anew, the only copies there are look the same.
void look_for_remains(const std::vector<Measured>& all, const Examination& examination) {
  if (examination.subject.store == nullptr) return;
  std::vector<std::pair<reconcile::PoolSettings, std::vector<reconcile::Owned>>> owned;
  for (const Measured& measured : all) {
    if (!measured.pool.error.empty()) continue;
    examination.report.look(
        "remains in pool " + measured.settings.name, "see the agent's log for what hangs",
        [&] { owned.emplace_back(measured.settings, measured.found->list_owned()); });
  }
  // After the pools: what is made meanwhile is in the store already.
  const auto known = list_ids_here(examination.subject);
  if (!known) return;
  for (const auto& [pool, list] : owned) {
    std::string remains;
    for (const auto& [name, volume_id] : list) {
      if (!known->contains(volume_id)) add_to(remains, name);
    }
    if (!remains.empty()) tell_remains(pool, remains, examination.report);
  }
}

void look_at_each(const Examination& examination) {
  Report& report = examination.report;
  std::vector<Measured> all;
  for (const auto& settings : examination.subject.pools) {
    report.look("pool " + settings.name, "see the agent's log for what hangs",
                [&] { all.push_back(measure(settings, examination.runner)); });
  }
  const bool any_here = std::any_of(
      all.begin(), all.end(), [](const Measured& measured) { return measured.pool.error.empty(); });
  for (const Measured& measured : all) {
    if (measured.pool.error.empty()) {
      tell_room(measured, report);
      tell_promised(measured, examination);
    } else if (measured.absent) {
      tell_absent(measured, any_here, examination);
    } else {
      tell_broken(measured, report);
    }
  }
  look_for_remains(all, examination);
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
                                    "configure another state_directory, or mount it writable");
  }
  constexpr std::uint64_t kLeast = 16ULL << 20;
  const std::uint64_t free = space.f_bavail * space.f_frsize;
  if (free < kLeast) {
    return examination.report.fault(what, size_to_text(free) + " free", kWanted,
                                    "free some space: DRBD's configuration cannot be written");
  }
  examination.report.ok(what, size_to_text(free) + " free", kWanted);
}

void look_at_udev(const Examination& examination) {
  if (::access((examination.subject.places.run + "/udev/control").c_str(), F_OK) == 0) {
    return examination.report.ok("udev", "runs", "runs");
  }
  examination.report.fault(
      "udev", fmt::format("no {}/udev/control", examination.subject.places.run), "runs",
      "start systemd-udevd; in a container, mount the host's /run/udev: "
      "without it, /dev/<group>/<volume> does not appear");
}

}  // namespace

void look_at_pools(const Examination& examination) {
  const Subject& subject = examination.subject;
  if (subject.pools.empty()) {
    examination.report.warn("pools", "none", "at least one on some nodes",
                            "list them in `pools`: a node without a pool has no replicas, so no "
                            "pod on it can use a volume");
  }
  look_at_each(examination);
  if (has_pool_of(subject, "lvm") || has_pool_of(subject, "lvm-thin")) look_at_udev(examination);
  look_at_state_directory(examination);
}

}  // namespace plexvol::doctor
