#include "agent/lvm/lvm.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <fstream>
#include <string_view>
#include <utility>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/lvm/failure.h"
#include "agent/lvm/report.h"
#include "agent/process/holders.h"

namespace plexvol::lvm {

namespace {

constexpr const char* kFolder = "/sbin/";

constexpr const char* kVolumeFields = "vg_name,lv_name,lv_path,pool_lv,lv_size,lv_tags,lv_attr";
constexpr const char* kGroupFields = "vg_name,vg_size,vg_free,vg_extent_size,vg_missing_pv_count";
constexpr const char* kPoolFields =
    "vg_name,lv_name,lv_size,segtype,data_percent,metadata_percent,lv_attr,vg_extent_size,"
    "vg_missing_pv_count";
constexpr const char* kOriginFields = "vg_name,lv_name,pool_lv,origin";

// Names come from the cluster: nothing that lvm could take for an option, a path or a tag.
void check_name(const std::string& name, const char* what) {
  static constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-";
  if (!name.empty() && name.size() <= 127 && name.front() != '-' && name != "." && name != ".." &&
      name.find_first_not_of(kAllowed) == std::string::npos) {
    return;
  }
  throw Error(ErrorCode::InvalidArgument,
              fmt::format("{} is not a valid name of a {}: use 1 to 127 characters of A-Z a-z 0-9 "
                          "+ _ . -, not beginning with a hyphen",
                          in_quotes(name), what));
}

// lvm(8): "Valid tag characters are A-Z a-z 0-9 _ + . - / = ! : # &", the first one not a hyphen.
void check_tag(const std::string& tag) {
  static constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-/=!:#&";
  if (!tag.empty() && tag.size() <= 1024 && tag.front() != '-' &&
      tag.find_first_not_of(kAllowed) == std::string::npos) {
    return;
  }
  throw Error(
      ErrorCode::InvalidArgument,
      in_quotes(tag) +
          " is not a valid tag of a logical volume: use 1 to 1024 characters of A-Z a-z 0-9 "
          "_ + . - / = ! : # &, not beginning with a hyphen");
}

std::string to_text(const std::string& volume_group, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    if (!text.empty()) text += " and ";
    text.append(volume_group).append("/").append(name);
  }
  return text;
}

// Thin pools are watched by the host (lvm2-monitor): a dmeventd started from here would live in the
// agent's container, and would run lvm without our filter.
process::Command command_with(const std::string& filter, const std::string& subject,
                              const std::string& tool, const std::vector<std::string>& arguments) {
  // Reports come on a descriptor of their own: lvm prints some of its log on stdout, in the middle
  // of the report. It need not know of that (it does since 2.02.162): see report_of().
  process::Command command{
      .argv = {kFolder + tool, "--config",
               "devices{use_devicesfile=0 hints=\"none\" scan_lvs=0 filter=" + filter +
                   "} activation{retry_deactivation=1 monitoring=0} global{notify_dbus=0}"},
      .input = {},
      .report_variable = "LVM_REPORT_FD",
      .subject = subject};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return command;
}

std::vector<std::string> report_arguments(const char* fields, const std::string& subject) {
  return {"--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields, subject};
}

const std::string& report_of(const process::Output& output) {
  return output.report.empty() ? output.out : output.report;
}

// lvm makes thin volumes in a full pool, too; their first write would hang and then fail.
void check_has_room(const ThinPool& pool) {
  static constexpr double kFullPercent = 98;
  if (pool.data_percent < kFullPercent && pool.metadata_percent < kFullPercent) return;
  throw Error(ErrorCode::OutOfSpace,
              fmt::format("thin pool {}/{} is full (data {} %, metadata {} %): extend it with "
                          "lvextend, or delete volumes from it",
                          pool.volume_group, pool.name, static_cast<int>(pool.data_percent),
                          static_cast<int>(pool.metadata_percent)));
}

}  // namespace

std::string path_of(const std::string& volume_group, const std::string& name) {
  return "/dev/" + volume_group + "/" + name;
}

std::string active_uuid(const std::string& volume_group, const std::string& name) {
  struct stat status {};
  if (::stat(path_of(volume_group, name).c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) {
    return "";
  }
  std::ifstream file(
      fmt::format("/sys/dev/block/{}:{}/dm/uuid", major(status.st_rdev), minor(status.st_rdev)));
  std::string uuid;
  std::getline(file, uuid);
  return uuid.starts_with("LVM-") ? uuid : "";
}

Lvm::Lvm(process::Runner& runner) : runner_(runner) {}

VolumeGroup Lvm::get_volume_group(const std::string& volume_group) {
  const process::Output output =
      run(volume_group, "vgs", report_arguments(kGroupFields, volume_group));
  if (output.exit_code != 0) throw_failed("reading volume group " + volume_group, output);
  const std::vector<VolumeGroup> groups = parse_volume_groups(report_of(output));
  if (groups.size() != 1) {
    throw Error(
        ErrorCode::Internal,
        fmt::format("volume group {}: lvm lists {} of this name on this node, expected exactly one",
                    volume_group, groups.size()));
  }
  return groups.front();
}

ThinPool Lvm::get_thin_pool(const std::string& volume_group, const std::string& name) {
  check_name(name, "thin pool");
  const std::string subject = volume_group + "/" + name;
  for (const bool may_activate : {true, false}) {
    const process::Output output = run(volume_group, "lvs", report_arguments(kPoolFields, subject));
    if (output.exit_code != 0) throw_failed("reading thin pool " + subject, output);
    const std::vector<ThinPool> pools = parse_thin_pools(report_of(output));
    if (pools.empty()) {
      throw Error(ErrorCode::NotFound, subject + " is not a thin pool");
    }
    if (pools.front().active) return pools.front();
    if (may_activate) activate(volume_group, name);
  }
  throw Error(ErrorCode::Internal,
              fmt::format("thin pool {}: still not active after lvchange activated it", subject));
}

std::vector<LogicalVolume> Lvm::list_logical_volumes(const std::string& volume_group) {
  const process::Output output =
      run(volume_group, "lvs", report_arguments(kVolumeFields, volume_group));
  if (output.exit_code != 0) {
    throw_failed("listing the logical volumes of " + volume_group, output);
  }
  std::vector<LogicalVolume> volumes = parse_logical_volumes(report_of(output));
  for (LogicalVolume& volume : volumes) volume.path = path_of(volume.volume_group, volume.name);
  return volumes;
}

std::optional<LogicalVolume> Lvm::find_logical_volume(const std::string& volume_group,
                                                      const std::string& name) {
  check_name(name, "logical volume");
  const std::string subject = volume_group + "/" + name;
  const process::Output output = run(volume_group, "lvs", report_arguments(kVolumeFields, subject));
  if (output.exit_code != 0 && misses_volume(output)) return std::nullopt;
  if (output.exit_code != 0) throw_failed("reading logical volume " + subject, output);
  std::vector<LogicalVolume> volumes = parse_logical_volumes(report_of(output));
  if (volumes.size() != 1) {
    throw Error(ErrorCode::Internal,
                fmt::format("logical volume {}: lvm lists {} of this name, expected exactly one",
                            subject, volumes.size()));
  }
  if (!volumes.front().unreadable.empty()) {
    throw Error(ErrorCode::Internal,
                fmt::format("logical volume {}: {}", subject, volumes.front().unreadable));
  }
  volumes.front().path = path_of(volume_group, name);
  return volumes.front();
}

void Lvm::create_logical_volume(const NewLogicalVolume& wanted) {
  check_name(wanted.name, "logical volume");
  std::vector<std::string> arguments = {"--yes", "--setactivationskip", "n", "--name", wanted.name};
  for (const std::string& tag : wanted.tags) {
    check_tag(tag);
    arguments.insert(arguments.end(), {"--addtag", tag});
  }
  const std::string size = std::to_string(wanted.size_bytes) + "b";
  if (wanted.thin_pool.empty()) {
    arguments.insert(arguments.end(),
                     {"--wipesignatures", "y", "--zero", "y", "--size", size, wanted.volume_group});
  } else {
    // What is new in a thin pool reads as zeros; lvm refuses to be asked for it.
    check_has_room(get_thin_pool(wanted.volume_group, wanted.thin_pool));
    arguments.insert(arguments.end(), {"--thin", "--virtualsize", size, "--thinpool",
                                       wanted.volume_group + "/" + wanted.thin_pool});
  }
  const process::Output output = run(wanted.volume_group, "lvcreate", arguments);
  if (output.exit_code != 0) {
    throw_failed(fmt::format("creating logical volume {}/{} of {} bytes{}", wanted.volume_group,
                             wanted.name, wanted.size_bytes,
                             wanted.thin_pool.empty() ? "" : " in thin pool " + wanted.thin_pool),
                 output);
  }
}

void Lvm::extend_logical_volume(const std::string& volume_group, const std::string& name,
                                const std::string& thin_pool, std::uint64_t size_bytes) {
  check_name(name, "logical volume");
  // lvextend fails where nothing is to be done.
  const auto found = find_logical_volume(volume_group, name);
  if (!found) {
    throw Error(ErrorCode::NotFound,
                fmt::format("logical volume {}/{} does not exist", volume_group, name));
  }
  if (found->size_bytes >= size_bytes) return;
  if (!thin_pool.empty()) check_has_room(get_thin_pool(volume_group, thin_pool));
  const process::Output output =
      run(volume_group, "lvextend",
          {"--yes", "--size", std::to_string(size_bytes) + "b", volume_group + "/" + name});
  if (output.exit_code != 0) {
    throw_failed(
        fmt::format("extending logical volume {}/{} to {} bytes", volume_group, name, size_bytes),
        output);
  }
}

void Lvm::activate(const std::string& volume_group, const std::string& name) {
  // Snapshots of thin volumes carry the skip flag; to ask for one by name is to want it.
  change(volume_group, {name}, {"--activate", "y", "--ignoreactivationskip"});
}

void Lvm::deactivate(const std::string& volume_group, const std::string& name) {
  change(volume_group, {name}, {"--activate", "n"});
}

void Lvm::add_tag(const std::string& volume_group, const std::string& name,
                  const std::string& tag) {
  check_tag(tag);
  change(volume_group, {name}, {"--addtag", tag});
}

void Lvm::remove_tag(const std::string& volume_group, const std::vector<std::string>& names,
                     const std::string& tag) {
  check_tag(tag);
  change(volume_group, names, {"--deltag", tag});
}

void Lvm::remove_logical_volumes(const std::string& volume_group,
                                 const std::vector<std::string>& names) {
  check_no_dependents(volume_group, names);
  const process::Output output = run_on_volumes(volume_group, names, "lvremove", {"--yes"});
  if (output.exit_code == 0) return;
  if (!misses_volume(output)) {
    throw_failed("removing logical volume " + to_text(volume_group, names), output);
  }
  // One is gone; of the others it does not say enough.
  if (names.size() == 1) return;
  for (const std::string& name : names) remove_logical_volumes(volume_group, {name});
}

// --yes says yes to "Removing origin will also remove 1 snapshot", too.
void Lvm::check_no_dependents(const std::string& volume_group,
                              const std::vector<std::string>& names) {
  for (const std::string& name : names) check_name(name, "logical volume");
  const process::Output output =
      run(volume_group, "lvs", report_arguments(kOriginFields, volume_group));
  if (output.exit_code != 0) throw_failed("looking for snapshots in " + volume_group, output);
  std::string found;
  const auto is_named = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const Dependent& dependent : parse_dependents(report_of(output))) {
    if (!is_named(dependent.origin) || is_named(dependent.name)) continue;
    found += fmt::format("{}{} (of {})", found.empty() ? "" : ", ",
                         to_text(volume_group, {dependent.name}), dependent.origin);
  }
  if (found.empty()) return;
  throw Error(ErrorCode::Conflict,
              fmt::format("logical volume {}: not removed, because lvm would remove its snapshots, "
                          "too: {}; copy the data that you need from them, then remove them with "
                          "lvremove",
                          to_text(volume_group, names), found));
}

void Lvm::change(const std::string& volume_group, const std::vector<std::string>& names,
                 const std::vector<std::string>& arguments) {
  const process::Output output = run_on_volumes(volume_group, names, "lvchange", arguments);
  if (output.exit_code != 0) {
    throw_failed(fmt::format("changing logical volume {} ({} {})", to_text(volume_group, names),
                             arguments[0], arguments[1]),
                 output);
  }
}

process::Output Lvm::run_on_volumes(const std::string& volume_group,
                                    const std::vector<std::string>& names, const std::string& tool,
                                    std::vector<std::string> arguments) {
  for (const std::string& name : names) {
    check_name(name, "logical volume");
    arguments.push_back(to_text(volume_group, {name}));
  }
  process::Output output = run(volume_group, tool, arguments);
  if (output.exit_code == 0 || !is_in_use(output)) return output;
  std::string held;
  for (const std::string& name : names) {
    const std::string path = path_of(volume_group, name);
    held += fmt::format(" {} is held by: {}", path, process::holders_to_text(path));
  }
  throw Error(ErrorCode::Conflict, fmt::format("{}: {}{}", tool, process::said(output), held));
}

process::Output Lvm::run(const std::string& volume_group, const std::string& tool,
                         const std::vector<std::string>& arguments) {
  check_name(volume_group, "volume group");
  for (;;) {
    std::optional<std::string> filter = find_filter(volume_group);
    const bool is_new = !filter;
    if (is_new) filter = look_up_filter(volume_group);
    process::Output output =
        runner_.run(command_with(*filter, "volume group " + volume_group, tool, arguments));
    const bool group_missing = output.exit_code != 0 && misses_group(output);
    if (!group_missing && !misses_device(output)) return output;
    forget_filter(volume_group);
    // With a filter of this moment, it is the disk that is missing. What changed something is not
    // run twice.
    const bool has_changed = output.exit_code == 0 && tool != "lvs" && tool != "vgs";
    if (!is_new && !has_changed) continue;
    if (!group_missing) return output;
    throw Error(ErrorCode::NotFound, fmt::format("no volume group {} on this node", volume_group));
  }
}

std::optional<std::string> Lvm::find_filter(const std::string& volume_group) {
  const std::lock_guard lock(mutex_);
  const auto found = filters_.find(volume_group);
  if (found == filters_.end()) return std::nullopt;
  return found->second;
}

std::string Lvm::look_up_filter(const std::string& volume_group) {
  const process::Output output = process::run_checked(
      runner_, command_with(accept_disks(), "the search for physical volumes", "pvs",
                            {"--reportformat", "json", "-o", "pv_name,vg_name"}));
  const std::vector<std::string> devices = parse_physical_volumes(report_of(output), volume_group);
  if (devices.empty()) {
    throw Error(
        ErrorCode::NotFound,
        fmt::format("no volume group {} on this node (loop, DRBD, nbd, rbd and zvol devices "
                    "are not searched); if it had volumes, bring its disks back (see pvs); "
                    "otherwise create it with vgcreate, or configure another one for the pool",
                    volume_group));
  }
  std::string filter = accept_only(devices);
  const std::lock_guard lock(mutex_);
  filters_[volume_group] = filter;
  return filter;
}

void Lvm::forget_filter(const std::string& volume_group) {
  const std::lock_guard lock(mutex_);
  filters_.erase(volume_group);
}

}  // namespace plexvol::lvm
