// What this node must do next for one volume. Pure: what should be and what is go in, a list of
// actions comes out.
//
// It is called again from the top after every pass and never remembers progress, so every action
// can be repeated, and a crash between any two of them is harmless. The rules that every list
// obeys:
//   - a thing is made after what it stands on, and removed before it;
//   - a logical volume is made only for a copy that the store has never called made, and removed
//   only while the store says
//     that the volume is being deleted, and only when it carries this volume's own tag;
//   - a node becomes primary only while the attachment names it, its copy is in `current`, no
//   connected peer is primary,
//     and, when the peer is not connected, the arbiter was asked just before;
//   - nothing is formatted where anything but our own interrupted mkfs could be;
//   - a volume that a process uses, that a mount call is about to use, or that is mounted for a pod
//   that is not proved dead, is never unmounted or made secondary, but for a primary that was left
//   behind: there its users are killed first of all, and again directly before its I/O is thawed;
//   - nothing waits on a frozen device or looks into a file system on one;
//   - a copy is replaced only by the node of the other one, which is in `current`, and removed only
//   when all others are;
//   - what stands on a copy changes, DRBD or not, only while no node has the volume attached, by a
//   transaction that requires this;
//   - every change of the set rests on the very set that was read: a plan made from an older one
//   changes nothing;
//   - no failure comes before TakeOut, LeaveSet or PutBack where they are due;
//   - the kernel's resource is this volume's only by the volume's secret;
//   - a store that is older than what this node acted on changes nothing here: what is in use stays
//   in use, and nothing is promoted, thawed, connected, given up, released or removed.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/drbd/drbd.h"
#include "agent/filesystem/find_use.h"
#include "agent/filesystem/probe.h"
#include "agent/model/model.h"
#include "agent/mounting/mount_calls.h"
#include "agent/pods/pods.h"
#include "agent/reconcile/actions.h"

namespace plexvol::reconcile {

// Whether the other copy is to be replaced by one on another node.
enum class PeerFate {
  Stays,
  Gone,         // its agent has been away for longer than the grace time
  Unable,       // it was to make a new copy, and has said for a while why it cannot
  Drained,      // a person wants that node empty
  Moved,        // a person wants this very copy elsewhere
  Unwanted,     // the volume is to have one copy less, and that is the one
  Lost,         // it is away, and a person says that it never comes back; or it has been given up
  BackingGone,  // its node says that the backing devices no longer exist
};

// The other copy is to be on another node, and is whole where it is.
inline bool moves(PeerFate fate) {
  return fate == PeerFate::Drained || fate == PeerFate::Moved;
}

// What should be: from the store.
struct Wanted {
  model::Volume volume;
  std::string here;
  std::optional<model::Attachment> attachment;
  std::optional<model::Current> current;
  // Of `current`, as it was read. Whatever is planned rests on that very set, so each change of it
  // compares the revision: a plan that was made from another set changes nothing.
  std::int64_t current_revision = 0;
  // Why the store is older than what this node acted on; "" when nothing speaks for that.
  std::string contradiction{};
  bool peer_alive = false;  // its agent holds its lease
  PeerFate peer_fate = PeerFate::Stays;
  bool drained = false;  // a person wants this node empty
  std::map<std::string, model::Node>
      nodes;  // of the copies, as far as they have announced themselves
  // For a copy here that was replaced: all others are in use by living agents that call them
  // UpToDate. The set alone does not tell: its nodes may have burnt down.
  bool others_whole = false;
  // Of the other copy, as its node says; 0: not known.
  std::uint64_t peer_device_bytes = 0;

  bool attached_here() const { return attachment && attachment->node == here; }
};

// A logical volume, or the image file of a `file` pool.
struct Backing {
  std::string path;    // the logical volume's, or the image file's
  std::string device;  // what stands on it is given this; "": an image has none until it is active
  bool active = false;
  bool ours = false;  // carries the tag of this very volume (not of an older one of the same name)
  bool making = false;  // carries the tag of an unfinished one
};

// The device that is mounted: DRBD's, or the backing device of an unmirrored volume.
struct Device {
  std::string path;
  unsigned major = 0;
  unsigned minor = 0;
};

// A pod for which the volume is mounted here.
struct PodUse {
  std::string uid;
  std::string mount;
  pods::Verdict verdict;
};

// What is: from this node.
struct Seen {
  std::optional<Backing> data;
  std::optional<Backing> metadata;  // DRBD's, for mirrored volumes
  // Why the last two, or what they are compared with, could not be looked at: they say nothing
  // then.
  std::optional<Error> backing_error;
  // What the pool does not list does not exist: never true of an empty directory, which may be the
  // mount point of a file system that is not mounted yet.
  bool absence_is_certain = false;
  // Of `data`, as the kernel says; 0: it has no device.
  std::uint64_t data_bytes = 0;
  std::uint64_t device_bytes = 0;  // of `device`
  bool growth_failed = false;      // in this very pass: it is not tried again
  bool copies_failed = false;      // nor is another number of copies
  bool mirror_left = false;        // of a volume without one, on a node whose copy does not stay
  bool config_current = false;
  bool connection_current = false;  // what has changed in it is not who the peer is
  // What has changed in it is how fast a resync runs, which parts nobody.
  bool only_resync_options_changed = false;
  std::optional<drbd::ResourceState> resource;
  // The kernel has a resource of this name that is not this volume's. It is none of ours to look
  // at, to reconfigure, to thaw or to take down, so `resource` is empty.
  bool resource_is_foreign = false;
  bool connect_time_over =
      false;  // the peer has had its time to connect since the volume was wanted here
  bool apart_time_over = false;     // unconnected for so long that the peer may be replaced
  bool question_time_over = false;  // I/O has been frozen for longer than the kernel needs to ask
  bool question_under_way = false;  // the kernel has asked, and is about to be answered
  std::optional<Device> device;     // when it exists
  bool linked = false;              // /dev/plexvol/<volume> leads to it
  std::vector<std::string> mounts;
  std::vector<filesystem::User>
      users;                  // looked for only where the answer matters: see needs_users()
  std::optional<PodUse> pod;  // the first one that is not proved dead; looked for as users are
  mounting::Counts calls;
  // The last request to let go that this node has refused. That is final: who asked has given up,
  // and mounts that were made since then must not be taken for left over.
  std::string refused_release;
  std::optional<filesystem::Probe> content;  // looked at only where it matters: see needs_content()
  // What is wrong with the file system where it is mounted, "" when it works; looked at only for
  // calls that wait to mount it once more.
  std::string mounted_fault{};
  bool just_formatted = false;  // in this very pass: it needs no check before its first mount
};

std::vector<Action> plan(const Wanted& wanted, const Seen& seen);
// Of that, only what must not wait for any tool but DRBD's: ending a freeze, parting from a peer
// that has won, taking a failed disk out of the set, putting a whole copy back. It takes what
// observe_for_arbitration() sees.
std::vector<Action> plan_arbitration(const Wanted& wanted, const Seen& seen);

// Which of the costly looks the plan will need, given all the others. needs_users: at processes and
// pods.
bool needs_users(const Wanted& wanted, const Seen& seen);
bool needs_content(const Wanted& wanted, const Seen& seen);

// Nothing that reads or writes the device comes back, until it is thawed.
bool frozen(const Seen& seen);

// The volume can be mounted here: attached, device usable, file system made.
bool is_ready(const Wanted& wanted, const Seen& seen);

// The copy here was made, and surely exists no longer.
bool backing_is_gone(const Wanted& wanted, const Seen& seen);

// Nothing is missing but that the peer is to be replaced.
bool may_replace_peer(const Wanted& wanted, const Seen& seen);

}  // namespace plexvol::reconcile
