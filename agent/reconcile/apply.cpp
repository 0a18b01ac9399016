#include "agent/reconcile/apply.h"

#include <algorithm>
#include <set>

#include "agent/drbd/metadata.h"
#include "agent/model/codec.h"
#include "agent/reconcile/observe.h"

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
                  "volume " + wanted.volume.name + " was deleted or replaced meanwhile");
    }
    if (!change(found->value)) return;
    if (tools.store.commit(Change()
                               .require(key, found->revision)
                               .put(key, model::to_json(found->value))
                               .wake(found->value))) {
      return;
    }
  }
  throw Error(ErrorCode::Unavailable, "volume " + wanted.volume.name + " changes too often");
}

void record_made(const Wanted& wanted, const Tools& tools) {
  change_volume(wanted, tools, [&](model::Volume& volume) {
    for (model::Replica& replica : volume.replicas) {
      if (replica.node != wanted.here) continue;
      if (replica.made) return false;
      replica.made = true;
      return true;
    }
    return false;
  });
}

void record_format(const Wanted& wanted, const Tools& tools, model::Format format) {
  change_volume(wanted, tools, [&](model::Volume& volume) {
    if (volume.format == model::Format::Done && format == model::Format::Started) {
      throw Error(ErrorCode::Unavailable, "volume " + volume.name + " was formatted meanwhile");
    }
    if (volume.format >= format) return false;
    volume.format = format;
    // Those that it was formatted with: until now a call could bring others.
    if (format == model::Format::Done) volume.mkfs_options = wanted.volume.mkfs_options;
    return true;
  });
}

void forget_replica(const Wanted& wanted, const Tools& tools) {
  const auto found = tools.store.find_volume(wanted.volume.name);
  if (!found || found->value.id != wanted.volume.id) return;
  if (!tools.store.commit(store::remove_part(*found, wanted.here))) {
    throw Error(ErrorCode::Unavailable,
                "volume " + wanted.volume.name + " changed while it was deleted");
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

Error set_changed(const std::string& volume) {
  return {ErrorCode::Unavailable,
          "volume " + volume + ": the current set changed concurrently; retrying"};
}

// After a change of its own, the set that the rest of the plan rests on. Another change in between
// has raised the epoch once more.
void read_own_change(Wanted& wanted, const Tools& tools) {
  const auto now = tools.store.find_current(wanted.volume.name);
  if (!now || now->value.epoch != wanted.current->epoch + 1) {
    throw set_changed(wanted.volume.name);
  }
  wanted.current = now->value;
  wanted.current_revision = now->revision;
}

// Takes `node` out of the very set that was planned from, in the name of one that is in it: so the
// set never becomes empty.
void take_out(const std::string& node, const std::string& asker, const std::string& reason,
              Wanted& wanted, const Tools& tools) {
  const std::string& volume = wanted.volume.name;
  if (!wanted.current) {
    throw Error(ErrorCode::NotFound, "volume " + volume + " has no current set in the store");
  }
  const bool won = wanted.current->nodes.contains(asker) &&
                   tools.arbiter.take_out_with(volume, {*wanted.current, wanted.current_revision},
                                               node, reason, {});
  if (!won) throw set_changed(volume);
  read_own_change(wanted, tools);
}

void ask_arbiter(const std::string& peer, Wanted& wanted, const Tools& tools) {
  const std::string without = peer.empty() ? "a second copy" : peer;
  take_out(peer, wanted.here,
           wanted.here + (wanted.attached_here() ? " is to use it without " : " goes on without ") +
               without,
           wanted, tools);
}

void leave_set(Wanted& wanted, const Tools& tools) {
  const std::string& here = wanted.here;
  take_out(here, wanted.volume.peer_of(here), here + " says that its copy must not count", wanted,
           tools);
}

void take_out_peer(const std::string& peer, Wanted& wanted, const Tools& tools) {
  const std::string& here = wanted.here;
  take_out(peer, here, here + " says that the copy of " + peer + " must not count", wanted, tools);
}

void use_forced(Wanted& wanted, const Tools& tools) {
  const std::string& volume = wanted.volume.name;
  if (!tools.arbiter.use_forced(volume, wanted.current_revision)) throw set_changed(volume);
  read_own_change(wanted, tools);
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

void put_back(const std::string& peer, const Wanted& wanted, const Tools& tools) {
  if (!tools.arbiter.put_back(wanted.volume.name, wanted.current_revision, peer)) return;
  // A former copy may be waiting for this.
  tools.store.commit(Change().wake(wanted.volume));
}

// Another volume's file of the same name stays: by it a node knows that it has that one's copy.
void remove_config(const model::Volume& volume, const Tools& tools) {
  if (tools.drbd.has_config(volume.name) && !tools.drbd.has_config_of(volume.name, volume.secret)) {
    return;
  }
  tools.drbd.remove_config(volume.name);
}

// Of those that have it.
std::vector<std::string> list_names(const Wanted& wanted, const Seen& seen, bool Backing::*flag) {
  std::vector<std::string> names;
  if (seen.metadata && *seen.metadata.*flag) names.push_back(metadata_name(wanted.volume));
  if (seen.data && *seen.data.*flag) names.push_back(wanted.volume.name);
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

std::string job_of(ActionKind kind, const Wanted& wanted, const Seen& seen) {
  const model::Volume& volume = wanted.volume;
  switch (kind) {
    case ActionKind::MakeFilesystem:
      return "mkfs." + volume.fs_type + " on " + seen.device->path;
    case ActionKind::CheckFilesystem:
      return "the check of the " + volume.fs_type + " on " + seen.device->path;
    case ActionKind::Promote:
      return "the promotion on " + wanted.here;
    default:
      return "";
  }
}

void make_filesystem(const Wanted& wanted, Seen& seen, const Tools& tools) {
  const model::Volume& volume = wanted.volume;
  const filesystem::NewFilesystem made{
      .device = seen.device->path,
      .type = volume.fs_type,
      .uuid = volume.id,
      .options = filesystem::parse_mkfs_options(volume.fs_type, volume.mkfs_options),
      .kernels = list_kernels(wanted, tools)};
  tools.jobs.run(volume.name, job_of(ActionKind::MakeFilesystem, wanted, seen), Jobs::Load::None,
                 [&filesystem = tools.filesystem, made] { filesystem.make(made); });
  seen.just_formatted = true;
}

void check_filesystem(const Wanted& wanted, const Seen& seen, const Tools& tools) {
  const std::string& name = wanted.volume.name;
  // By hand the device would be a Secondary, which cannot be opened.
  const std::string options = R"('{"volume":")" + name + R"("}')";
  const std::string advice = "look at it on " + wanted.here + " with: plexvol attach " + options +
                             " " + wanted.here + " && e2fsck -n " + tools.links.path(name) +
                             "; e2fsck -f " + tools.links.path(name) +
                             " mends it; then plexvol detach " + name + " " + wanted.here;
  tools.jobs.run(
      name, job_of(ActionKind::CheckFilesystem, wanted, seen), Jobs::Load::Disk,
      [&filesystem = tools.filesystem, device = seen.device->path, type = wanted.volume.fs_type,
       advice] { filesystem.check(device, type, advice); });
}

// Meanwhile the kernel may ask the arbiter about the peer, and the answer may have to wait for the
// store.
void promote(const Wanted& wanted, const Seen& seen, const Tools& tools) {
  tools.jobs.run(wanted.volume.name, job_of(ActionKind::Promote, wanted, seen), Jobs::Load::None,
                 [&drbd = tools.drbd, name = wanted.volume.name, resource = *seen.resource] {
                   drbd.promote(name, resource);
                 });
}

void unmount(const std::string& mount_point, const Wanted& wanted) {
  if (filesystem::unmount_in_host(mount_point)) return;
  // Processes that were killed a moment ago may still be on their way out.
  throw Error(ErrorCode::Unavailable, "volume " + wanted.volume.name + " is in use on " +
                                          wanted.here + ": " + mount_point +
                                          " cannot be unmounted, it is busy");
}

}  // namespace

// NOLINTNEXTLINE(readability-function-size): a table
void apply(const Action& action, Wanted& wanted, Seen& seen, const Tools& tools) {
  const model::Volume& volume = wanted.volume;
  const auto pool = [&]() -> Pool& { return get_pool(tools, volume); };
  const auto resource = [&] { return to_resource(wanted, seen); };
  switch (action.kind) {
    case ActionKind::CreateData:
      seen.data = pool().create(volume.name, copy_size_bytes(wanted), volume.id);
      return;
    case ActionKind::CreateMetadataDevice:
      seen.metadata = pool().create(metadata_name(volume),
                                    drbd::metadata_size_bytes(copy_size_bytes(wanted)), volume.id);
      return;
    case ActionKind::ActivateData:
      return pool().activate(volume.name);
    case ActionKind::ActivateMetadata:
      return pool().activate(metadata_name(volume));
    case ActionKind::WipeData:
      return filesystem::wipe_ends(seen.data->device);
    case ActionKind::CreateMetadata:
      return volume.find_replica(wanted.here)->filled_by_peer
                 ? tools.drbd.create_blank_metadata(resource())
                 : tools.drbd.create_metadata(resource(), volume.current_uuid);
    case ActionKind::Finish:
      return finish(wanted, seen, tools);
    case ActionKind::RecordMade:
      return record_made(wanted, tools);
    case ActionKind::WriteConfig:
      return tools.drbd.write_config(resource());
    case ActionKind::Adjust:
      return adjust(wanted, seen, tools);
    case ActionKind::AskArbiter:
      return ask_arbiter(action.text, wanted, tools);
    case ActionKind::LeaveSet:
      return leave_set(wanted, tools);
    case ActionKind::TakeOut:
      return take_out_peer(action.text, wanted, tools);
    case ActionKind::UseForced:
      return use_forced(wanted, tools);
    case ActionKind::Disconnect:
      return tools.drbd.disconnect(volume.name);
    case ActionKind::ResumeIo:
      return tools.drbd.resume_io(volume.name);
    case ActionKind::KillUsers:
      return kill_users(wanted, seen, tools);
    case ActionKind::GiveUpDisk:
      return tools.drbd.give_up_disk(volume.name);
    case ActionKind::ReconnectDiscarding:
      return tools.drbd.reconnect_discarding(volume.name);
    case ActionKind::Promote:
      return promote(wanted, seen, tools);
    case ActionKind::PromoteByForce:
      return tools.drbd.promote_by_force(volume.name);
    case ActionKind::Demote:
      return tools.drbd.demote(volume.name, *seen.resource);
    case ActionKind::PutBack:
      return put_back(action.text, wanted, tools);
    case ActionKind::Link:
      return tools.links.set(volume.name, action.text);
    case ActionKind::Unlink:
      return tools.links.remove(volume.name);
    case ActionKind::Unmount:
      return unmount(action.text, wanted);
    case ActionKind::RecordFormatStarted:
      return record_format(wanted, tools, model::Format::Started);
    case ActionKind::MakeFilesystem:
      return make_filesystem(wanted, seen, tools);
    case ActionKind::RecordFormatDone:
      return record_format(wanted, tools, model::Format::Done);
    case ActionKind::CheckFilesystem:
      return check_filesystem(wanted, seen, tools);
    case ActionKind::CompleteMountCalls:
      return tools.calls.complete(volume.name, {.device = tools.links.path(volume.name),
                                                .major = seen.device->major,
                                                .minor = seen.device->minor});
    case ActionKind::DropAttachment:
      return drop_attachment(wanted, tools);
    case ActionKind::Down:
      return tools.drbd.down(volume.name);
    case ActionKind::RemoveConfig:
      return remove_config(volume, tools);
    case ActionKind::RemoveBacking:
      return pool().remove(list_names(wanted, seen, &Backing::ours));
    case ActionKind::ForgetReplica:
      pool().remove_remains(volume.name);
      tools.arbiter.acted().remove(volume.id);
      return forget_replica(wanted, tools);
    case ActionKind::Fail:
      throw Error(action.code, action.text);
    case ActionKind::RefuseRelease:
    case ActionKind::ReplacePeer:
    case ActionKind::LookAgain:
      return;  // the pass's own
  }
}

std::string find_job(const std::vector<Action>& actions, const Wanted& wanted, const Seen& seen) {
  for (const Action& action : actions) {
    if (std::string job = job_of(action.kind, wanted, seen); !job.empty()) return job;
  }
  return "";
}

bool acts_on_set(ActionKind kind) {
  switch (kind) {
    case ActionKind::Adjust:
    case ActionKind::ReconnectDiscarding:
    case ActionKind::Promote:
    case ActionKind::PromoteByForce:
    case ActionKind::ResumeIo:
      return true;
    default:
      return false;
  }
}

bool touches_backing(ActionKind kind) {
  switch (kind) {
    case ActionKind::ActivateData:
    case ActionKind::ActivateMetadata:
    case ActionKind::RemoveBacking:
      return true;
    default:
      return false;
  }
}

bool changes_space(ActionKind kind) {
  return kind == ActionKind::CreateData || kind == ActionKind::RemoveBacking;
}

}  // namespace plexvol::reconcile
