// What the store holds: plain data, no I/O. Every struct is one key's value (design: "What the
// store holds").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/api/error.h"

namespace plexvol::model {

// The members of a record, or of a part of it, that this version does not know: a JSON object, or
// "" when there are none. Only the codec looks inside. Whoever changes a record starts from a copy
// of it, so that these are written again. A newer version must not believe what such a member
// says of a moment: an older agent may have kept it while the world changed.
struct Unknown {
  std::string members;
  bool operator==(const Unknown&) const = default;
};

// A volume's slot in the store gives it minor kFirstMinor + slot and port (the configured first) +
// slot, cluster-wide.
inline constexpr unsigned kFirstMinor = 1000;
inline constexpr unsigned kSlots = 16384;
// As long as one of the first so many is free, no other is used: firewalls are opened for these.
inline constexpr unsigned kUsualSlots = 256;

// Begins what a node says of a volume that cannot be made as large as it should be.
inline constexpr const char* kGrowthFailed = "it cannot grow: ";

// One copy of a volume. `made` is set once its logical volume (and DRBD metadata) stood complete,
// and never taken back: a made copy whose logical volume is missing is a loss to be reported, never
// something to make anew.
struct Replica {
  std::string node;
  bool made = false;
  // It came later than the volume: its metadata begins as Inconsistent.
  bool filled_by_peer = false;
  // DRBD 9's node-id: its place among the copies, which a replacement inherits.
  unsigned number = 0;
  // It was made without a mirror, and its DRBD metadata is still to be made: its data never is.
  bool gains_metadata = false;
  Unknown unknown = {};
};

// Started is recorded before mkfs runs and Done after it. So a signature found under Never is a
// stranger's, while under Started it may be our own interrupted mkfs, and under Done nothing is
// ever formatted again.
enum class Format { Never, Started, Done };

// volumes/<volume>
struct Volume {
  std::string name;
  std::string id;  // random UUID, new for every volume ever made: tag of its logical volumes and
                   // UUID of its file system
  std::uint64_t size_bytes = 0;
  std::string pool;
  std::vector<Replica> replicas;
  std::set<std::string> former;  // nodes whose copy was replaced, and has not been removed yet
  std::string fs_type;
  std::string mkfs_options;
  unsigned minor = 0;  // DRBD's; 0 when there is no mirror
  std::uint16_t port = 0;
  std::string secret;
  std::string current_uuid;  // DRBD's, of all copies when they are made: 16 hex digits
  Format format = Format::Never;
  bool deleting = false;
  // As many as it is to have, by a person or by the options of a call, while it has another number;
  // else 0. It may be 1 of a volume that is mirrored for as long as its only copy moves.
  unsigned copies_asked = 0;
  std::string leaving;   // the node whose copy is to go, when another one is whole; "": none
  std::string arriving;  // the node that is to have the next copy; "": any
  // It was mirrored, and is used without DRBD from now on; the node of its copy still has to take
  // the resource down, and to give minor and port back.
  bool drops_mirror = false;
  // It was made for a smaller device, and is to fill this one where it is mounted.
  bool filesystem_grows = false;
  Unknown unknown = {};

  // With two copies it is, whatever an agent that does not know of drops_mirror has kept.
  bool mirrored() const { return minor != 0 && !(drops_mirror && replicas.size() == 1); }
  // Of DRBD's minors and ports; nullopt: nothing of it needs one.
  std::optional<unsigned> slot() const {
    return minor != 0 ? std::optional(minor - kFirstMinor) : std::nullopt;
  }
  unsigned wanted_copies() const { return mirrored() ? 2 : 1; }
  // Mirrored, and its second copy is gone for good: so is the mirror, when it is not in use.
  bool mirror_is_to_go() const {
    return mirrored() && copies_asked == 1 && leaving.empty() && replicas.size() == 1;
  }
  const Replica* find_replica(const std::string& node) const;
  void add_replica(Replica replica);  // with the lowest number that is free
  // The other node of a mirrored volume; "" when there is none: its copy was lost for good, and no
  // node can take another.
  std::string peer_of(const std::string& node) const;
  std::vector<std::string> nodes() const;  // of its copies
  // Has a copy, or still has to remove one.
  bool concerns(const std::string& node) const;
  std::set<std::string> concerned_nodes() const;
};

// One change of a volume's set. Its id is random: so of two changes that were made without
// knowledge of each other, as after the restore of an old backup of the store, each can be told
// from the other, though both have the same epoch.
struct SetChange {
  std::uint64_t epoch = 0;
  std::string id;
  Unknown unknown = {};

  bool operator==(const SetChange&) const = default;
};

inline constexpr std::size_t kMaxHistory = 64;

// history/<volume>: the last changes of its set, the oldest first. Written together with the set.
struct History {
  std::vector<SetChange> changes;
  Unknown unknown = {};

  const SetChange* find(std::uint64_t epoch) const;
  bool operator==(const History&) const = default;
};

// current/<volume>: the nodes whose copy may be used without the others. Only the arbiter changes who
// they are.
struct Current {
  // A person has decided which copy counts, and accepted the loss of what only others have. Until a
  // copy is put back, this node may be made primary whatever DRBD says of its disk.
  struct Forced {
    std::string node;
    std::int64_t at = 0;     // seconds since 1970
    std::string by;          // "root on n3"
    std::string disk_state;  // of that copy at that time, DRBD's word; "" when nobody knew
    Unknown unknown = {};
  };

  std::uint64_t epoch = 0;
  std::set<std::string> nodes;
  std::map<std::string, std::int64_t> left;  // when those that are out were taken out, for people
  std::optional<Forced> forced;
  std::optional<Forced> last_forced = std::nullopt;  // for people, also when it counts no more
  Unknown unknown = {};
  // Its last entry is the change that made this set. Not in this record but in history/<volume>:
  // agents of 0.1.0 drop the members that they do not know. Filled by TypedStore::find_current()
  // and the views; empty in lists.
  History history = {};
};

// What a node last acted on of a volume: kept on its own disk (store/acted.h), and published under
// acted/<node>/<volume> while the store is in doubt.
struct Acted {
  static constexpr std::size_t kMaxHistory = 16;

  std::string volume;
  std::string volume_id;
  std::uint64_t epoch = 0;
  std::string id;               // of the change that made the set
  std::set<std::string> nodes;  // the set
  bool formatted = false;       // the file system was seen to be made
  std::string record;    // volumes/<volume> as last seen; "" when it was too large to be kept
  History history = {};  // the last changes up to this one: which sets it came from
  Unknown unknown = {};

  bool operator==(const Acted&) const = default;
};

// Why the store cannot be what came after `acted`, which a node of this volume acted on: "n2 acted
// on set 6 {n2}, and the store has set 5 {n1,n2}". "": nothing speaks against it. Only what is
// certain counts: the history does not reach back for ever, and 0.1.0 writes none.
std::string find_contradiction(const Acted& acted, const Volume& volume,
                               const std::optional<Current>& current);

// store/rolled-back: the store was seen to be another one than before, or older. While it is there,
// no set is changed by an agent that knows of it.
struct RolledBack {
  std::string node;     // that saw it first
  std::int64_t at = 0;  // seconds since 1970
  std::string what;     // for people
  Unknown unknown = {};
};

// "{n1,n2}"
std::string to_text(const std::set<std::string>& nodes);

// tenants/<volume>: whose pods may mount it. A key of its own: an agent that does not know of it
// must not drop it from the volume's record.
struct Tenant {
  std::string volume_id;  // of another volume of this name: it says nothing
  std::string name;       // a Kubernetes namespace; api::kAnyNamespace: all
  Unknown unknown = {};
};

// Who holds the volume: a call to attach (then only detach ends it), or mounts (then the last
// unmount does).
enum class Holder { Attach, Mount };

// Asks the node that holds a volume to let go. It does, or it refuses this very id in its status.
struct Release {
  std::string id;
  std::string reason;  // for people: "detach of pv-1", "mount on n2"
  Unknown unknown = {};
};

// attachments/<volume>
struct Attachment {
  std::string node;
  std::int64_t since = 0;  // seconds since 1970, for people
  Holder holder = Holder::Mount;
  // Of the PVs or pod volumes that asked for it: detach knows only these.
  std::set<std::string> names;
  std::optional<Release> release;
  // It was taken from a node that was cut off from this copy and did not answer, while its lease
  // was not over yet: the session of the agent there. As long as that one is all that is heard of,
  // nobody waits for the node.
  std::string silent_session;
  Unknown unknown = {};
};

// status/<node>/<volume>: what the node's agent saw. For people and for waiting calls; no plan ever
// reads it.
struct Status {
  std::string session;  // of the agent that wrote it: a status of a former life is not the truth
  std::int64_t attachment_revision = 0;  // the attachment it speaks of
  bool ready = false;                    // attached here, device usable, file system made
  std::string device;                    // backing device
  std::string role;
  std::string disk_state;
  std::string connection;
  double synced_percent = 100;
  // What this node knows that its peer lacks, or has to be sent.
  std::uint64_t out_of_sync_bytes = 0;
  bool backing_gone = false;  // the copy was made, and its backing devices surely exist no longer
  std::vector<std::string> mounts;
  std::string refused_release;  // the id of the Release that it refuses
  ErrorCode error_code = ErrorCode::Internal;
  std::string error;               // "" when the last pass did all there is to do
  std::uint64_t device_bytes = 0;  // of the backing device; 0: not known
  Unknown unknown = {};

  bool operator==(const Status&) const = default;
};

// cordons/<node>: no new replica goes there. Absent: the node is like any other.
struct Cordon {
  bool drain = false;   // those that it has are to be moved away
  bool forget = false;  // it never comes back: what it has is lost, and may be given up unreplaced
  std::int64_t since = 0;  // seconds since 1970, for people
  Unknown unknown = {};

  bool operator==(const Cordon&) const = default;
};

struct Pool {
  std::string name;
  std::string type;
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::string error;
  std::uint64_t extent_bytes = 0;     // what sizes are rounded up to; 0: nothing, or not known
  unsigned max_promised_percent = 0;  // so much of it may be promised to volumes; 0: no limit
  Unknown unknown = {};
  bool operator==(const Pool&) const = default;
};

// nodes/<node>
struct Node {
  std::string name;
  std::string address;
  std::string version;
  std::string drbd_version;
  std::string mirror_error;  // why no replica of a mirrored volume can be here; "" when one can
  std::vector<Pool> pools;
  std::string kernel{};  // its release, as uname says; "" when an agent of 0.1.0 wrote this
  Unknown unknown = {};

  const Pool* find_pool(const std::string& pool) const;
  bool operator==(const Node&) const = default;
};

// What this version makes of the store's records. Raised when an agent that knows only the one
// before would break what is written from now on.
inline constexpr unsigned kSchema = 1;

// schema: which agents may write. Absent: all, as in 0.1.0. Written by the first agent that writes
// what an older one would break.
struct Schema {
  unsigned writers = 1;  // the lowest kSchema of an agent that may write
  std::string by;        // the version of the agent that asks for it, for people
  Unknown unknown = {};
};

// machines/<node>: the machine that goes by the node's name.
struct Machine {
  std::string id;
  std::int64_t since = 0;  // seconds since 1970, for people
  Unknown unknown = {};
};

}  // namespace plexvol::model
