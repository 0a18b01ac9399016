// What is planned of backing devices: how they are made, what is said when they are lost, how they
// are removed.
#include <fmt/core.h>

#include <algorithm>

#include "agent/reconcile/planner.h"
#include "agent/reconcile/stack.h"

namespace plexvol::reconcile {

Then Planner::tell_backing_error() {
  if (!seen_.backing_error) return Then::GoOn;
  plan_failed_disks();
  fail(seen_.backing_error->code(), seen_.backing_error->what());
  return Then::End;
}

Then Planner::refuse_strangers() {
  for (const auto* backing : {&seen_.data, &seen_.metadata}) {
    if (*backing && !(*backing)->ours) {
      fail(ErrorCode::Conflict,
           fmt::format("{}: {} on {} was not made for this volume; Plexvol does not touch it: "
                       "remove or rename it, or choose another volume name",
                       name(), (*backing)->path, wanted_.here));
      return Then::End;
    }
  }
  return Then::GoOn;
}

// Survives a crash at any line: what is unfinished carries the tag `making` until all of it
// stands.
Then Planner::make_copy() {
  if (volume_.find_replica(wanted_.here)->made) return Then::GoOn;
  if (refuse_strangers() == Then::End) return Then::End;
  const bool filled = volume_.find_replica(wanted_.here)->filled_by_peer;
  if (filled && clear_former_copy()) return Then::End;
  const bool wants_metadata = has_layer(volume_, Layer::Drbd);
  const bool data_is_new = !seen_.data || seen_.data->making;
  const bool metadata_is_new = wants_metadata && (!seen_.metadata || seen_.metadata->making);
  if (!seen_.data) add(actions::CreateData{});
  if (wants_metadata && !seen_.metadata) add(actions::CreateMetadataDevice{});
  if (!activate()) {
    add(actions::LookAgain{});
    return Then::End;
  }
  if (data_is_new) add(actions::WipeData{});
  // What is to be filled by its peer must say so, whatever a former life of this node left there:
  // old metadata of this very volume would pass for a copy that has everything.
  if (metadata_is_new || (wants_metadata && filled)) add(actions::CreateMetadata{});
  if (data_is_new || metadata_is_new) add(actions::Finish{});
  add(actions::RecordMade{});
  add(actions::LookAgain{});
  return Then::End;
}

// A copy that is made again on its own node, because its backing devices were gone: what is left of
// the old one is worth nothing. False: nothing is left.
bool Planner::clear_former_copy() {
  if (primary()) {
    if (wanted_.attached_here()) {
      fail(
          ErrorCode::Unavailable,
          fmt::format(
              "{0}: the replica on {1} will be rebuilt from {2} once the volume is released on {1}",
              name(), wanted_.here, peer()));
    } else {
      take_out_of_use();
    }
    return true;
  }
  const bool half_gone = !seen_.data && seen_.metadata && !seen_.metadata->making;
  if (!seen_.resource && !half_gone) return false;
  seen_.resource ? add(actions::Down{}) : add(actions::RemoveBacking{});
  add(actions::LookAgain{});
  return true;
}

// False: the layers above cannot be planned before another look.
bool Planner::activate() {
  if (seen_.data && !seen_.data->active) add(actions::ActivateData{});
  if (seen_.metadata && !seen_.metadata->active) add(actions::ActivateMetadata{});
  return have_devices(volume_, seen_);
}

Then Planner::bring_up_layers() {
  for (const Layer layer : layers_of(volume_)) {
    switch (layer) {
      case Layer::Backing:
        if (activate()) break;
        add(actions::LookAgain{});
        return Then::End;
      case Layer::Drbd:
        plan_resource();
        break;
    }
  }
  return Then::GoOn;
}

// When nothing uses the volume any more.
void Planner::take_down_layers() {
  auto layers = layers_of(volume_);
  std::ranges::reverse(layers);
  for (const Layer layer : layers) {
    switch (layer) {
      case Layer::Drbd:
        if (seen_.resource) add(actions::Down{});
        break;
      case Layer::Backing:
        break;  // costs nothing while nobody has it open
    }
  }
}

Then Planner::grow() {
  if (seen_.data_bytes == 0 || seen_.growth_failed) return Then::GoOn;
  const bool is_mirror = has_layer(volume_, Layer::Drbd);
  if (seen_.data_bytes < volume_.size_bytes) {
    if (is_mirror && !mirror_can_grow()) return Then::GoOn;
    add(actions::GrowData{});
  } else if (is_mirror && seen_.device_bytes < volume_.size_bytes) {
    const bool has_peer_grown = wanted_.peer_device_bytes >= volume_.size_bytes;
    if (!primary() || !has_peer_grown || !mirror_can_grow()) return Then::GoOn;
    add(actions::GrowMirror{});
  } else {
    if (!filesystem_can_grow()) return Then::GoOn;
    add(actions::GrowFilesystem{});
  }
  add(actions::LookAgain{});
  return Then::End;
}

// DRBD takes a new size while one of the two is Primary, both are connected, and none is resynced.
// Their disks are extended only then, too: when both are larger as they connect, DRBD grows by
// itself, and what is new stays marked as out of sync (seen in the lab).
bool Planner::mirror_can_grow() const {
  return connected() && (primary() || seen_.resource->peer_role == "Primary") &&
         seen_.resource->disk_state == "UpToDate" &&
         seen_.resource->peer_disk_state == "UpToDate" &&
         seen_.resource->replication == "Established";
}

bool Planner::filesystem_can_grow() const {
  return volume_.filesystem_grows && wanted_.attached_here() && !frozen(seen_) &&
         seen_.device_bytes >= volume_.size_bytes && !seen_.mounts.empty() &&
         seen_.mounted_fault.empty();
}

// Never proposes to delete the volume while a whole copy of it exists.
Then Planner::tell_loss() {
  const std::string what = find_missing_part(volume_, seen_);
  if (what.empty()) return Then::GoOn;
  std::string text =
      fmt::format("{}: the {} of the replica on {} is gone: its device no longer exists in pool {}",
                  name(), what, wanted_.here, volume_.pool);
  const model::Replica* other = volume_.find_replica(peer());
  if (volume_.wanted_copies() == 1 || other == nullptr || !other->made) {
    text += seen_.data ? fmt::format(
                             ". It was the only replica, and its data is still on {}: bring "
                             "the rest back, or copy the data from there",
                             seen_.data->path)
                       : ". It was the only replica: bring its disk back, or delete the volume";
  } else if (!is_current(peer())) {
    text += fmt::format(
        ". It was the only current replica: bring its disk back. If it is lost for good, use the "
        "older data on {0}: `plexvol volume force-current {1} --node {0}`",
        peer(), volume_.name);
  } else if (seen_.absence_is_certain) {
    text += fmt::format(
        ". The data is safe on {}, which rebuilds the replica once it is UpToDate and {} is not "
        "using the volume",
        peer(), wanted_.here);
  } else {
    text += fmt::format(
        ". The data is safe on {}; mount the file system of the pool's directory, or move the "
        "replica: `plexvol node drain {}`",
        peer(), wanted_.here);
  }
  fail(ErrorCode::Conflict, text);
  return Then::End;
}

Then Planner::remove_deleted() {
  if (!volume_.deleting) return Then::GoOn;
  remove_volume();
  return Then::End;
}

// Each node removes its own part and needs no other for it.
void Planner::remove_volume() {
  if (frozen(seen_)) {
    add(actions::Disconnect{});
    add(actions::KillUsers{});
    add(actions::GiveUpDisk{});
    add(actions::KillUsers{});
    add(actions::ResumeIo{});
    return add(actions::LookAgain{});
  }
  if (remove_left_mirror()) return;
  if (in_use()) return fail(ErrorCode::Conflict, "deletion waits: " + why_in_use());
  unmount_all();
  if (seen_.linked) add(actions::Unlink{});
  take_down_layers();
  // What could not be looked at may be there: it would never be removed.
  if (seen_.backing_error) return fail(seen_.backing_error->code(), seen_.backing_error->what());
  plan_data_removal();
}

void Planner::plan_data_removal() {
  const bool has_metadata = seen_.metadata && seen_.metadata->ours;
  if (has_metadata || (seen_.data && seen_.data->ours)) add(actions::RemoveBacking{});
  // Last: by it a node that was forgotten knows that it had a copy.
  if (has_layer(volume_, Layer::Drbd)) add(actions::RemoveConfig{});
  add(actions::ForgetReplica{});
}

}  // namespace plexvol::reconcile
