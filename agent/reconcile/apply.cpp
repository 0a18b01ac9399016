#include "agent/reconcile/apply.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "agent/api/names.h"
#include "agent/drbd/metadata.h"
#include "agent/filesystem/filesystem.h"
#include "agent/filesystem/grow.h"
#include "agent/filesystem/kill_users.h"
#include "agent/filesystem/mkfs_options.h"
#include "agent/filesystem/mount_table.h"
#include "agent/filesystem/probe.h"
#include "agent/filesystem/unmount.h"
#include "agent/model/codec.h"
#include "agent/reconcile/apply_set.h"
#include "agent/reconcile/mirror_change.h"
#include "agent/reconcile/observe.h"
#include "agent/reconcile/stack.h"

namespace plexvol::reconcile {

namespace {

using store::Change;
namespace keys = store::keys;

// Changes the volume as it is now in the store, provided that it still is the one that was planned
// for.
template <class F>
void change_volume(const Wanted& wanted, const Tools& tools, F change) {
  constexpr int kMaxRaces = 20;
  const std::string key = keys::volume(wanted.volume.name);
  for (int race = 0; race < kMaxRaces; ++race) {
    auto found = tools.store.find_volume(wanted.volume.name);
    if (!found || found->value.id != wanted.volume.id) {
      throw Error(ErrorCode::Unavailable,
                  fmt::format("volume {} was deleted or replaced meanwhile", wanted.volume.name));
    }
    if (!change(found->value)) return;
    if (tools.store.commit(Change()
                               .require(key, found->revision)
                               .put(key, model::to_json(found->value))
                               .wake(found->value))) {
      return;
    }
  }
  throw Error(
      ErrorCode::Unavailable,
      fmt::format("volume {}: changed concurrently too often; retrying", wanted.volume.name));
}

void record_made(const Wanted& wanted, const Tools& tools) {
  change_volume(wanted, tools, [&](model::Volume& volume) {
    for (model::Replica& replica : volume.replicas) {
      if (replica.node != wanted.here) continue;
      if (replica.made && !replica.gains_metadata) return false;
      replica.made = true;
      replica.gains_metadata = false;
      return true;
    }
    return false;
  });
}

void record_format(const Wanted& wanted, const Seen& seen, const Tools& tools,
                   model::Format format) {
  change_volume(wanted, tools, [&](model::Volume& volume) {
    if (volume.format == model::Format::Done && format == model::Format::Started) {
      throw Error(ErrorCode::Unavailable,
                  fmt::format("volume {} was formatted meanwhile", volume.name));
    }
    if (volume.format >= format) return false;
    volume.format = format;
    // Those that it was formatted with: until now a call could bring others.
    if (format == model::Format::Done) volume.mkfs_options = wanted.volume.mkfs_options;
    // It fills the device, as that was seen before.
    if (format == model::Format::Done && seen.device_bytes >= volume.size_bytes) {
      volume.filesystem_grows = false;
    }
    return true;
  });
}

// If the tool succeeded and nothing grew, the next look would ask for the same again.
void check_has_grown(const std::string& device, std::uint64_t size_bytes) {
  const std::uint64_t has = device_size_bytes(device);
  if (has >= size_bytes) return;
  throw Error(ErrorCode::Unavailable, fmt::format("{} was extended to {}, and still has {}", device,
                                                  size_to_text(size_bytes), size_to_text(has)));
}

// Seen in the lab: the command ends before the peer has answered, and the device is as it was.
void await_growth(const std::string& device, std::uint64_t size_bytes) {
  constexpr std::chrono::milliseconds kStep(20);
  constexpr int kMostSteps = 500;
  for (int step = 0; step < kMostSteps && device_size_bytes(device) < size_bytes; ++step) {
    std::this_thread::sleep_for(kStep);
  }
}

// The metadata first: who sees that the data has grown relies on both.
void grow_backing(const Wanted& wanted, const Seen& seen, const Tools& tools) {
  const model::Volume& volume = wanted.volume;
  Pool& pool = get_pool(tools, volume);
  if (has_layer(volume, Layer::Drbd)) {
    pool.grow(metadata_name(volume), drbd::metadata_size_bytes(volume.size_bytes));
  }
  pool.grow(volume.name, volume.size_bytes);
  check_has_grown(seen.data->device, volume.size_bytes);
}

// Unless it is to grow once more.
void record_grown(const Wanted& wanted, const Tools& tools) {
  change_volume(wanted, tools, [&](model::Volume& volume) {
    if (!volume.filesystem_grows || volume.size_bytes != wanted.volume.size_bytes) return false;
    volume.filesystem_grows = false;
    return true;
  });
}

void forget_replica(const Wanted& wanted, const Tools& tools) {
  const auto found = tools.store.find_volume(wanted.volume.name);
  if (!found || found->value.id != wanted.volume.id) return;
  if (!tools.store.commit(store::remove_part(*found, wanted.here))) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("volume {}: changed concurrently while it was being deleted; retrying",
                            wanted.volume.name));
  }
}

void drop_attachment(const Wanted& wanted, const Tools& tools) {
  const auto found = tools.store.find_attachment(wanted.volume.name);
  if (!found || found->value.node != wanted.here) return;
  // Somebody asked for it again while it was let go: that is a new wish, for the next round.
  const bool still_to_go = found->value.release || found->value.holder == model::Holder::Mount ||
                           wanted.volume.find_replica(wanted.here) == nullptr;
  if (!still_to_go) return;
  Change change;
  const std::string key = keys::attachment(wanted.volume.name);
  change.require(key, found->revision).remove(key).wake(wanted.volume);
  tools.store.remove_names(found->value, wanted.volume.name, change);
  tools.store.commit(change);
}

void adjust(const Wanted& wanted, const Seen& seen, const Tools& tools) {
  tools.drbd.adjust(wanted.volume.name);
  // The copy was taken out of the set for the change, and DRBD does not tell the peer of one that
  // parted nothing: it is to look whether it can be put back.
  const bool was_taken_out = !seen.config_current && !seen.only_resync_options_changed;
  if (was_taken_out) tools.store.commit(store::Change().wake(wanted.volume));
}

// Rule 4. If the set is another than the one that this node has just left, it may have been put
// back, and has not lost at all. Of the pods that have it mounted everything is killed, last of
// all: a container that was just restarted may use the volume in a moment.
void kill_users(const Wanted& wanted, const Seen& seen, const Tools& tools) {
  const std::string& volume = wanted.volume.name;
  const auto current = tools.store.find_current(volume);
  const bool unchanged = current && wanted.current && current->revision == wanted.current_revision;
  // Of a volume that is being deleted no copy counts.
  if (!unchanged && !wanted.volume.deleting) throw set_changed(volume);
  if (!seen.device) return;
  filesystem::kill_users(seen.device->major, seen.device->minor);
  std::set<std::string> uids;
  for (const std::string& mount : filesystem::list_mounts(seen.device->major, seen.device->minor)) {
    if (const auto uid = pods::uid_in_path(mount)) uids.insert(*uid);
  }
  for (const std::string& uid : uids) tools.pods.kill(uid);
}

// Of those that have it.
std::vector<std::string> list_names(const Wanted& wanted, const Seen& seen, bool Backing::*flag) {
  std::vector<std::string> names;
  std::vector<Part> parts = all_parts_of(wanted.volume);
  std::reverse(parts.begin(), parts.end());  // from the top
  for (const Part& part : parts) {
    const std::optional<Backing>& backing = seen.*part.backing;
    if (backing && *backing.*flag) names.push_back(part.name);
  }
  return names;
}

void finish(const Wanted& wanted, Seen& seen, const Tools& tools) {
  const model::Volume& volume = wanted.volume;
  get_pool(tools, volume).finish(list_names(wanted, seen, &Backing::making), volume.id);
  if (seen.metadata) seen.metadata->making = false;
  seen.data->making = false;
}

// Of the nodes that may get a copy: those with the pool. 0.1.0 tells nothing of its node's kernel.
std::vector<std::string> list_kernels(const Wanted& wanted, const Tools& tools) {
  std::vector<std::string> kernels;
  for (const model::Node& node : tools.store.list_nodes()) {
    if (node.find_pool(wanted.volume.pool) == nullptr || node.kernel.empty()) continue;
    kernels.push_back(node.kernel);
  }
  return kernels;
}

std::string job_of(const actions::MakeFilesystem& /*action*/, const Wanted& wanted,
                   const Seen& seen) {
  return fmt::format("mkfs.{} on {}", wanted.volume.fs_type, seen.device->path);
}

std::string job_of(const actions::CheckFilesystem& /*action*/, const Wanted& wanted,
                   const Seen& seen) {
  return fmt::format("the check of the {} on {}", wanted.volume.fs_type, seen.device->path);
}

std::string job_of(const actions::Promote& /*action*/, const Wanted& wanted, const Seen& /*seen*/) {
  return "the promotion on " + wanted.here;
}

// All others are done at once.
template <class Other>
std::string job_of(const Other& /*action*/, const Wanted& /*wanted*/, const Seen& /*seen*/) {
  return "";
}

void make_filesystem(const Wanted& wanted, Seen& seen, const Tools& tools) {
  const model::Volume& volume = wanted.volume;
  const filesystem::NewFilesystem made{
      .device = seen.device->path,
      .type = volume.fs_type,
      .uuid = volume.id,
      .options = filesystem::parse_mkfs_options(volume.fs_type, volume.mkfs_options),
      .kernels = list_kernels(wanted, tools)};
  tools.jobs.run(volume.name, job_of(actions::MakeFilesystem{}, wanted, seen), Jobs::Load::None,
                 [&filesystem = tools.filesystem, made] { filesystem.make(made); });
  seen.just_formatted = true;
}

void check_filesystem(const Wanted& wanted, const Seen& seen, const Tools& tools) {
  const std::string& name = wanted.volume.name;
  // By hand the device would be a Secondary, which cannot be opened.
  const std::string advice = fmt::format(
      R"(inspect it on {0} with: plexvol attach '{{"volume":"{1}"}}' {0} && e2fsck -n {2}; )"
      "repair it with: e2fsck -f {2}; then run: plexvol detach {1} {0}",
      wanted.here, name, tools.links.path(name));
  tools.jobs.run(
      name, job_of(actions::CheckFilesystem{}, wanted, seen), Jobs::Load::Disk,
      [&filesystem = tools.filesystem, device = seen.device->path, type = wanted.volume.fs_type,
       advice] { filesystem.check(device, type, advice); });
}

// Meanwhile the kernel may ask the arbiter about the peer, and the answer may have to wait for the
// store.
void promote(const Wanted& wanted, const Seen& seen, const Tools& tools) {
  tools.jobs.run(wanted.volume.name, job_of(actions::Promote{}, wanted, seen), Jobs::Load::None,
                 [&drbd = tools.drbd, name = wanted.volume.name, resource = *seen.resource] {
                   drbd.promote(name, resource);
                 });
}

void unmount(const std::string& mount_point, const Wanted& wanted) {
  if (filesystem::unmount_in_host(mount_point)) return;
  // Processes that were killed a moment ago may still be on their way out.
  throw Error(ErrorCode::Unavailable,
              fmt::format("volume {} is in use on {}: {} is busy and cannot be unmounted",
                          wanted.volume.name, wanted.here, mount_point));
}

// What each action does.
struct Applier {
  void operator()(const actions::CreateData& /*action*/) const {
    seen.data = get_pool(tools, wanted.volume)
                    .create(wanted.volume.name, copy_size_bytes(wanted), wanted.volume.id);
  }
  void operator()(const actions::CreateMetadataDevice& /*action*/) const {
    seen.metadata =
        get_pool(tools, wanted.volume)
            .create(metadata_name(wanted.volume),
                    drbd::metadata_size_bytes(copy_size_bytes(wanted)), wanted.volume.id);
  }
  void operator()(const actions::ActivateData& /*action*/) const {
    get_pool(tools, wanted.volume).activate(wanted.volume.name);
  }
  void operator()(const actions::ActivateMetadata& /*action*/) const {
    get_pool(tools, wanted.volume).activate(metadata_name(wanted.volume));
  }
  void operator()(const actions::GrowData& /*action*/) const { grow_backing(wanted, seen, tools); }
  void operator()(const actions::GrowMirror& /*action*/) const {
    tools.drbd.take_new_size(wanted.volume.name);
    await_growth(seen.device->path, wanted.volume.size_bytes);
    check_has_grown(seen.device->path, wanted.volume.size_bytes);
  }
  void operator()(const actions::WipeData& /*action*/) const {
    filesystem::wipe_ends(seen.data->device);
  }
  void operator()(const actions::CreateMetadata& /*action*/) const {
    wanted.volume.find_replica(wanted.here)->filled_by_peer
        ? tools.drbd.create_blank_metadata(to_resource(wanted, seen))
        : tools.drbd.create_metadata(to_resource(wanted, seen), wanted.volume.current_uuid);
  }
  void operator()(const actions::Finish& /*action*/) const { finish(wanted, seen, tools); }
  void operator()(const actions::RecordMade& /*action*/) const { record_made(wanted, tools); }
  void operator()(const actions::WriteConfig& /*action*/) const {
    tools.drbd.write_config(to_resource(wanted, seen));
  }
  void operator()(const actions::Adjust& /*action*/) const { adjust(wanted, seen, tools); }
  void operator()(const actions::AskArbiter& action) const {
    ask_arbiter(action.peer, wanted, tools);
  }
  void operator()(const actions::LeaveSet& /*action*/) const { leave_set(wanted, tools); }
  void operator()(const actions::TakeOut& action) const {
    take_out_peer(action.peer, wanted, tools);
  }
  void operator()(const actions::UseForced& /*action*/) const { use_forced(wanted, tools); }
  void operator()(const actions::Disconnect& /*action*/) const {
    tools.drbd.disconnect(wanted.volume.name);
  }
  void operator()(const actions::ResumeIo& /*action*/) const {
    tools.drbd.resume_io(wanted.volume.name);
  }
  void operator()(const actions::KillUsers& /*action*/) const { kill_users(wanted, seen, tools); }
  void operator()(const actions::GiveUpDisk& /*action*/) const {
    tools.drbd.give_up_disk(wanted.volume.name);
  }
  void operator()(const actions::ReconnectDiscarding& /*action*/) const {
    tools.drbd.reconnect_discarding(wanted.volume.name);
  }
  void operator()(const actions::Promote& /*action*/) const { promote(wanted, seen, tools); }
  void operator()(const actions::PromoteByForce& /*action*/) const {
    tools.drbd.promote_by_force(wanted.volume.name);
  }
  void operator()(const actions::Demote& /*action*/) const {
    tools.drbd.demote(wanted.volume.name, *seen.resource);
  }
  void operator()(const actions::PutBack& action) const { put_back(action.peer, wanted, tools); }
  void operator()(const actions::Link& action) const {
    tools.links.set(wanted.volume.name, action.device);
  }
  void operator()(const actions::Unlink& /*action*/) const {
    tools.links.remove(wanted.volume.name);
  }
  void operator()(const actions::Unmount& action) const { unmount(action.mount_point, wanted); }
  void operator()(const actions::RecordFormatStarted& /*action*/) const {
    record_format(wanted, seen, tools, model::Format::Started);
  }
  void operator()(const actions::MakeFilesystem& /*action*/) const {
    make_filesystem(wanted, seen, tools);
  }
  void operator()(const actions::RecordFormatDone& /*action*/) const {
    record_format(wanted, seen, tools, model::Format::Done);
  }
  void operator()(const actions::CheckFilesystem& /*action*/) const {
    check_filesystem(wanted, seen, tools);
  }
  void operator()(const actions::GrowFilesystem& /*action*/) const {
    filesystem::grow_mounted(wanted.volume.fs_type, seen.device->major, seen.device->minor,
                             seen.device_bytes, seen.mounts);
    record_grown(wanted, tools);
  }
  void operator()(const actions::CompleteMountCalls& /*action*/) const {
    tools.calls.complete(wanted.volume.name, {.device = tools.links.path(wanted.volume.name),
                                              .major = seen.device->major,
                                              .minor = seen.device->minor});
  }
  void operator()(const actions::DropAttachment& /*action*/) const {
    drop_attachment(wanted, tools);
  }
  void operator()(const actions::Down& /*action*/) const { tools.drbd.down(wanted.volume.name); }
  void operator()(const actions::RemoveConfig& /*action*/) const {
    remove_config(wanted.volume, tools);
  }
  void operator()(const actions::RemoveBacking& /*action*/) const {
    get_pool(tools, wanted.volume).remove(list_names(wanted, seen, &Backing::ours));
  }
  void operator()(const actions::ForgetReplica& /*action*/) const {
    get_pool(tools, wanted.volume).remove_remains(wanted.volume.name);
    tools.arbiter.acted().remove(wanted.volume.id);
    forget_replica(wanted, tools);
  }
  void operator()(const actions::Fail& action) const { throw Error(action.code, action.reason); }
  void operator()(const actions::RefuseRelease& /*action*/) const {}  // the pass's own
  void operator()(const actions::ReplacePeer& /*action*/) const {}    // the pass's own
  void operator()(const actions::GainMirror& /*action*/) const {}     // the pass's own
  void operator()(const actions::DropMirror& /*action*/) const {}     // the pass's own
  void operator()(const actions::RemoveMirror& /*action*/) const { remove_mirror(wanted, tools); }
  void operator()(const actions::LookAgain& /*action*/) const {}  // the pass's own

  Wanted& wanted;
  Seen& seen;
  const Tools& tools;
};

}  // namespace

void apply(const Action& action, Wanted& wanted, Seen& seen, const Tools& tools) {
  std::visit(Applier{wanted, seen, tools}, action);
}

std::string find_job(const std::vector<Action>& actions, const Wanted& wanted, const Seen& seen) {
  for (const Action& action : actions) {
    std::string job =
        std::visit([&](const auto& one) { return job_of(one, wanted, seen); }, action);
    if (!job.empty()) return job;
  }
  return "";
}

bool acts_on_set(const Action& action) {
  return is<actions::Adjust, actions::ReconnectDiscarding, actions::Promote,
            actions::PromoteByForce, actions::ResumeIo>(action);
}

bool touches_backing(const Action& action) {
  return is<actions::ActivateData, actions::ActivateMetadata, actions::RemoveBacking,
            actions::GainMirror, actions::RemoveMirror>(action);
}

bool changes_space(const Action& action) {
  return is<actions::CreateData, actions::GrowData, actions::RemoveBacking>(action);
}

}  // namespace plexvol::reconcile
