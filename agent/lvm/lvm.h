// lvm2's command line, in its own words. Knows nothing of Plexvol's volumes.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/process/runner.h"

namespace plexvol::lvm {

struct LogicalVolume {
  std::string volume_group;
  std::string name;
  std::string path;       // /dev/<vg>/<lv>
  std::string thin_pool;  // "" for a thick one
  std::uint64_t size_bytes = 0;
  std::vector<std::string> tags;
  bool active = false;
  bool partial = false;  // a physical volume that it lies on is missing
  // Why the rest of its row in the report could not be read; "" for a row that was.
  std::string unreadable{};
};

struct VolumeGroup {
  std::string name;
  std::uint64_t size_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t extent_bytes = 0;
  unsigned missing_devices = 0;  // physical volumes
};

struct ThinPool {
  std::string volume_group;
  std::string name;
  std::uint64_t size_bytes = 0;
  double data_percent = 0;      // known only while it is active
  double metadata_percent = 0;  // likewise
  bool active = false;
  std::uint64_t extent_bytes = 0;  // of its group
  unsigned missing_devices = 0;    // physical volumes of its group
};

// One that is made from another one.
struct Dependent {
  std::string name;
  std::string origin;
};

struct NewLogicalVolume {
  std::string volume_group;
  std::string name;
  std::string thin_pool;         // "": thick
  std::uint64_t size_bytes = 0;  // rounded up to extents by LVM
  std::vector<std::string> tags;
};

// Pure. From `--reportformat json --units b --nosuffix`, whatever bytes names hold. Throw
// Error(Internal) naming what is missing; a logical volume whose row lacks something besides its
// name is listed as unreadable, since it may be somebody else's.
std::vector<LogicalVolume> parse_logical_volumes(const std::string& json);
std::vector<VolumeGroup> parse_volume_groups(const std::string& json);
std::vector<ThinPool> parse_thin_pools(const std::string& json);
// Those that `lvremove` would remove together with their origin: all but thin snapshots of thin
// volumes, which lvm leaves alone.
std::vector<Dependent> parse_dependents(const std::string& json);

// Any number of threads may call it.
//
// Every command sees the group's own physical volumes and no other device. Which they are is looked
// up once per group and kept, and looked up again whenever lvm does not find the group or misses a
// physical volume of it. They are never loop, DRBD, nbd, rbd or zvol devices.
// Where udev puts it while it is active.
std::string path_of(const std::string& volume_group, const std::string& name);

// The device-mapper's UUID of an active one: lvm's of the group and of the volume, which no other
// one ever has. "" when it is not active. The kernel is asked, and no tool.
std::string active_uuid(const std::string& volume_group, const std::string& name);

class Lvm {
 public:
  explicit Lvm(process::Runner& runner);

  // A volume group that does not exist is an Error(NotFound); a logical volume that does not exist
  // is nullopt.
  VolumeGroup get_volume_group(const std::string& volume_group);
  // Active afterwards: lvm reports how full it is only then.
  ThinPool get_thin_pool(const std::string& volume_group, const std::string& name);
  std::vector<LogicalVolume> list_logical_volumes(const std::string& volume_group);
  std::optional<LogicalVolume> find_logical_volume(const std::string& volume_group,
                                                   const std::string& name);

  // Active afterwards, its start zeroed, known signatures wiped. OutOfSpace when the group is too
  // small or the pool too full; a thin one may be larger than its pool. AlreadyExists when the name
  // is taken.
  void create_logical_volume(const NewLogicalVolume& wanted);
  // To at least this size, rounded up to extents by LVM; no error when it is as large. OutOfSpace as
  // for a new one.
  void extend_logical_volume(const std::string& volume_group, const std::string& name,
                             const std::string& thin_pool, std::uint64_t size_bytes);
  // NotFound when there is none; so do the three below.
  void activate(const std::string& volume_group, const std::string& name);
  void deactivate(const std::string& volume_group, const std::string& name);
  void add_tag(const std::string& volume_group, const std::string& name, const std::string& tag);
  // The last two take several at once.
  void remove_tag(const std::string& volume_group, const std::vector<std::string>& names,
                  const std::string& tag);
  // No error when it is already gone. Conflict when others were made from one of them and would go
  // with it (snapshots of a thick one). "In use" for some milliseconds after udev opened it is
  // retried by lvm itself, for some 5 seconds; what remains is a Conflict that names who holds it,
  // here and in deactivate().
  void remove_logical_volumes(const std::string& volume_group,
                              const std::vector<std::string>& names);

 private:
  process::Output run(const std::string& volume_group, const std::string& tool,
                      const std::vector<std::string>& arguments);
  process::Output run_on_volumes(const std::string& volume_group,
                                 const std::vector<std::string>& names, const std::string& tool,
                                 std::vector<std::string> arguments);
  void check_no_dependents(const std::string& volume_group, const std::vector<std::string>& names);
  std::optional<std::string> find_filter(const std::string& volume_group);
  std::string look_up_filter(const std::string& volume_group);
  void forget_filter(const std::string& volume_group);
  void change(const std::string& volume_group, const std::vector<std::string>& names,
              const std::vector<std::string>& arguments);

  process::Runner& runner_;
  std::mutex mutex_;
  std::map<std::string, std::string> filters_;  // by volume group
};

}  // namespace plexvol::lvm
