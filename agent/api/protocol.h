// What driver and agent say to each other: HTTP/1.1 over a Unix socket, JSON bodies.
//
// Every request is a POST to `/v1/<call>` and carries the headers
//   Plexvol-Protocol: 1         the version the driver speaks; an agent accepts its own and the
//                               one before
//   Plexvol-Timeout-Ms: 90000   how long the driver will wait; the agent answers Unavailable,
//                               naming what it waited for, before that time is over
//   Plexvol-Trace: 1            (optional) asks for the steps that were taken
// The reply is `{"protocol":1,"result":{...},"trace":[...]}` with status 200, or
// `{"protocol":1,"error":{"code":"NotFound","message":"..."},"trace":[...]}` with the status of
// http_status().
//
// A connection is kept open by the driver between `mount` and `mounted`: when it breaks, the agent
// knows that the mount call is over, whatever became of the process. So no timer guards a mount
// that is under way.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/api/error.h"

namespace plexvol::api {

inline constexpr int kProtocolVersion = 1;
inline constexpr int kOldestProtocolVersion = 1;
inline constexpr const char* kDefaultSocket = "/run/plexvol/plexvold.sock";
inline constexpr const char* kProtocolHeader = "Plexvol-Protocol";
inline constexpr const char* kTimeoutHeader = "Plexvol-Timeout-Ms";
inline constexpr const char* kTraceHeader = "Plexvol-Trace";

// Paths. Body -> result, by the structs below.
inline constexpr const char* kAttachPath = "/v1/attach";  // AttachRequest -> DeviceReply
inline constexpr const char* kWaitForAttachPath =
    "/v1/wait-for-attach";  // WaitForAttachRequest -> DeviceReply
inline constexpr const char* kIsAttachedPath =
    "/v1/is-attached";                                          // AttachRequest -> IsAttachedReply
inline constexpr const char* kDetachPath = "/v1/detach";        // DetachRequest -> {}
inline constexpr const char* kMountPath = "/v1/mount";          // MountRequest -> MountReply
inline constexpr const char* kMountedPath = "/v1/mounted";      // MountedRequest -> {}
inline constexpr const char* kUnmountedPath = "/v1/unmounted";  // UnmountedRequest -> {}
inline constexpr const char* kExpandPath = "/v1/expand";        // ExpandRequest -> ExpandReply
inline constexpr const char* kHelperPath = "/v1/drbd-helper";   // HelperRequest -> HelperReply
inline constexpr const char* kVolumeCreatePath =
    "/v1/volume/create";  // CreateVolumeRequest -> VolumeInfo
inline constexpr const char* kVolumeListPath = "/v1/volume/list";  // {} -> {"volumes":[VolumeInfo]}
inline constexpr const char* kVolumeShowPath =
    "/v1/volume/show";                                           // VolumeNameRequest -> VolumeInfo
inline constexpr const char* kVolumeSetPath = "/v1/volume/set";  // SetVolumeRequest -> VolumeInfo
inline constexpr const char* kVolumeMovePath =
    "/v1/volume/move";  // MoveVolumeRequest -> VolumeInfo
inline constexpr const char* kVolumeResizePath =
    "/v1/volume/resize";  // ResizeVolumeRequest -> VolumeInfo
inline constexpr const char* kVolumeDeletePath =
    "/v1/volume/delete";  // VolumeNameRequest -> DeleteVolumeReply
inline constexpr const char* kForceCurrentPath =
    "/v1/volume/force-current";  // ForceCurrentRequest -> VolumeInfo
inline constexpr const char* kFailOverPath = "/v1/volume/fail-over";  // FailOverRequest -> {}
inline constexpr const char* kNodeListPath = "/v1/node/list";         // {} -> {"nodes":[NodeInfo]}
inline constexpr const char* kNodeChangePath = "/v1/node/change";  // NodeChange -> NodeChangeReply
inline constexpr const char* kChangesPath = "/v1/changes";         // ChangesRequest -> ChangesReply
inline constexpr const char* kVersionPath = "/v1/version";         // {} -> VersionReply
inline constexpr const char* kDoctorPath = "/v1/doctor";           // {} -> {"findings":[Finding]}

// The FlexVolume options object: flat, string to string (contract fact 19).
using Options = std::map<std::string, std::string>;

struct AttachRequest {
  Options options;
  std::string node;
};
struct WaitForAttachRequest {
  std::string device;  // as attach answered it; empty when the caller has none
  Options options;
};
struct DeviceReply {
  std::string device;  // /dev/plexvol/<volume>: the same on every node, whatever is behind it
  // What of the options the volume does not have; "" when it has all.
  std::string message = {};
};
// A claim of the volume was made larger.
struct ExpandRequest {
  Options options;
  std::string target;      // where the caller has it mounted
  std::uint64_t size = 0;  // bytes
};
struct ExpandReply {
  std::string message;  // why it has not grown although the call succeeds; "": it has
};
struct IsAttachedReply {
  bool attached = false;
};
struct DetachRequest {
  std::string name;  // the PV's or the pod volume's name, never the device (fact 33)
  std::string node;
};
struct MountRequest {
  Options options;
  std::string target;  // the directory that will be mounted on
  std::string device;  // mountdevice: what waitforattach answered; empty for mount
  // Capability `attach`: detach, not the last unmount, releases the volume.
  bool attached_before = false;
};
// What the driver needs for mount(2). `device` is a link; the driver refuses when its device number
// is not major:minor, so a link that is out of date can never lead to another volume's data.
struct MountReply {
  std::string volume;
  std::string device;
  unsigned major = 0;
  unsigned minor = 0;
  std::string fs_type;
  // Words as mount(8) spells them (noatime, nosuid, ...), for mount(2)'s flags.
  std::vector<std::string> flags;
  std::string data;          // the rest, for mount(2)'s data: "nouuid,discard"
  bool read_only = false;    // of this mount point only: the file system itself is mounted writable
  std::string call_id;       // to be given back in `mounted`
  std::string message = {};  // what of the options the volume does not have; "" when it has all
};
struct MountedRequest {
  std::string call_id;
  std::string target;
  bool mounted = false;  // false: the mount failed, and nothing was left mounted
  std::string message;   // why, when it failed
};
struct UnmountedRequest {
  std::string target;
};
// The kernel's question, DRBD's `usermode_helper` (agent/drbd/README.md): PROGRAM EVENT OBJECT with
// DRBD_* in the environment.
struct HelperRequest {
  std::string event;                               // "fence-peer", "before-resync-target", ...
  std::string object;                              // the resource name, or "minor-1000"
  std::map<std::string, std::string> environment;  // only DRBD_*
};
struct HelperReply {
  int exit_code = 1;
};
struct CreateVolumeRequest {
  std::string name;
  std::string size;  // as typed: "1Gi"
  unsigned replicas = 1;
  std::vector<std::string> nodes;  // empty: placement decides
  std::string pool;                // empty: the only pool there is, or the one named "default"
  std::string fs_type;             // empty: ext4
  std::string mkfs_options;
  std::string tenant = {};  // JSON "namespace"; empty: of the first pod that mounts it
  // The node that must get one of the copies; empty: any. OutOfSpace then says why the volume can only
  // be made with another first node; Unavailable, why it cannot be made with any. A volume that exists
  // already keeps its copies where they are, which VolumeInfo tells.
  std::string first_node = {};
};
// Stands for all namespaces, where a volume's namespace is given or told.
inline constexpr const char* kAnyNamespace = "*";
struct SetVolumeRequest {
  std::string name;
  std::string tenant =
      {};                 // JSON "namespace": whose pods may mount it, or kAnyNamespace; "": as is
  unsigned copies = 0;    // 1 or 2; 0: as is
  std::string keep = {};  // of one copy: the node that keeps it; "": one that has all data
};
// Moves a copy, or the only one. Answered when it is recorded; VolumeInfo::pending says what is done.
struct MoveVolumeRequest {
  std::string name;
  std::string from = {};  // "": of a volume that has one copy
  std::string to = {};    // "": any node with room
};
struct ResizeVolumeRequest {
  std::string name;
  std::string size;       // as typed: "20Gi"
  bool at_least = false;  // one that is larger stays as it is, and that is no error
};
struct VolumeNameRequest {
  std::string name;
};
// Makes the copy on one node the only one that counts, whatever others may have had in addition.
struct ForceCurrentRequest {
  std::string name;
  std::string node;
  bool accept_data_loss = false;
  std::string by;  // who decides, for the record
};
// The volume goes on without a node that is down.
struct FailOverRequest {
  std::string name;
  std::string node;
};
struct DeleteVolumeReply {
  // Nodes that are away; their part is removed when they return.
  std::vector<std::string> waiting_for;
};

struct ReplicaInfo {
  std::string node;
  bool alive = false;  // the node's agent holds its lease
  std::string pool;
  std::string device;  // the backing device: /dev/<vg>/<volume>, or the loop device
  std::string role;    // DRBD's words; "" for a volume without DRBD
  std::string disk_state;
  std::string connection;
  double synced_percent = 100;          // of this copy, never of its peer's
  std::uint64_t out_of_sync_bytes = 0;  // what this copy lacks
  bool current = false;  // this copy may be used without the others (agent/arbiter/README.md)
  // When it was taken out of the current set, in seconds since 1970; 0: it is in.
  std::int64_t left_at = 0;
  std::vector<std::string> mounts;  // where it is mounted there
  std::string error;                // what the last pass of its agent could not do
  bool made = true;                 // false: there is no such copy yet
  // The copy is away, and out_of_sync_bytes is what the others know of: it may lack more by now.
  bool lacks_more = false;
};
struct VolumeInfo {
  std::string name;
  std::uint64_t size_bytes = 0;
  std::string pool;
  std::string fs_type;
  // One word for the table: Creating, Ready, Degraded, Syncing, Unavailable, Deleting. Unreadable:
  // nothing but the name is known, since its record cannot be read.
  std::string state;
  std::string attached_to;  // a node, or ""
  bool deleting = false;
  unsigned drbd_minor = 0;  // 0: no DRBD
  std::uint64_t epoch = 0;
  std::string forced;  // the last time: "n2 by root on n3 at 2026-01-31T10:00:00Z"
  std::vector<ReplicaInfo> replicas;
  std::vector<std::string> former;  // nodes whose copy was replaced and is still to be removed
  unsigned copies = 0;              // that it is to have
  unsigned copies_asked = 0;        // when that is another number; else 0
  // JSON "namespace": whose pods may mount it; kAnyNamespace; "": no pod has mounted it yet.
  std::string tenant = {};
  // Its file system may have been made, so it may hold data. An agent that does not tell may have one.
  bool formatted = true;
  bool filesystem_grows = false;  // when it is mounted: there is one, smaller than the volume
  // What is still to be done with its copies and what that waits for, for people; "": nothing.
  std::string pending = {};
};
struct PoolInfo {
  std::string name;
  std::string type;  // lvm, lvm-thin, file
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::string error;
  std::uint64_t promised_bytes = 0;   // the sizes of all copies that are to be in it
  unsigned max_promised_percent = 0;  // of total_bytes; 0: no limit
};
struct NodeInfo {
  std::string name;
  bool alive = false;
  std::string address;
  std::string version;
  std::string drbd_version;  // "" when the module is not there
  std::string cordon;        // "", "cordoned", "draining" or "being forgotten"
  std::vector<PoolInfo> pools;
};
// What is to become of a node. May be asked again and again: each time it does what can be done
// now.
struct NodeChange {
  std::string name;
  std::string action;  // cordon, uncordon, drain, forget
};
struct NodeChangeReply {
  // What a drained or forgotten node still has. Empty: done.
  struct Left {
    std::string volume;
    std::string why;
    bool needs_person = false;  // waiting does not help
  };
  std::vector<Left> left;
};
// A long poll for callers that keep a view of the volumes and nodes. Answered at once when `since`
// is not the agent's latest token, else after the next change of a volume or node, or with `since`
// again when the call's time is nearly over.
struct ChangesRequest {
  std::string since;  // the token of the last reply; empty: none yet
};
// The token is opaque: only the agent process that gave it can tell whether it is the latest. A new
// one means that something may have changed since the old one was given. Get the token first, then
// read the volumes and nodes.
struct ChangesReply {
  std::string token;
};
struct VersionReply {
  std::string version;
  int protocol = 0;
  std::string node;
  std::string store;  // "embedded", "etcd"
};

// What a look at one thing that Plexvol needs has shown.
struct Finding {
  std::string what;    // "kernel module drbd"
  std::string level;   // "ok"; "warning": it works, for now or not everywhere; "fault"
  std::string found;   // "9.0.14"
  std::string wanted;  // "8.4.4 or later"
  std::string advice;  // what to do next; "" when ok
};

struct TraceStep {
  std::string what;  // "lvcreate --name ...", "wait for n1 to become primary"
  std::chrono::microseconds took{0};
  int exit_code = 0;
};
struct ErrorInfo {
  ErrorCode code = ErrorCode::Internal;
  std::string message;
};

unsigned http_status(ErrorCode code);

// Each struct as JSON text and back. from_json throws InvalidArgument naming the field that is
// missing or of the wrong type; unknown fields are ignored, so that a newer peer may say more.
std::string to_json(const AttachRequest&);
std::string to_json(const WaitForAttachRequest&);
std::string to_json(const DeviceReply&);
std::string to_json(const IsAttachedReply&);
std::string to_json(const DetachRequest&);
std::string to_json(const MountRequest&);
std::string to_json(const MountReply&);
std::string to_json(const MountedRequest&);
std::string to_json(const UnmountedRequest&);
std::string to_json(const HelperRequest&);
std::string to_json(const HelperReply&);
std::string to_json(const CreateVolumeRequest&);
std::string to_json(const SetVolumeRequest&);
std::string to_json(const MoveVolumeRequest&);
std::string to_json(const ResizeVolumeRequest&);
std::string to_json(const ExpandRequest&);
std::string to_json(const ExpandReply&);
std::string to_json(const VolumeNameRequest&);
std::string to_json(const ForceCurrentRequest&);
std::string to_json(const FailOverRequest&);
std::string to_json(const DeleteVolumeReply&);
std::string to_json(const VolumeInfo&);
std::string to_json(const std::vector<VolumeInfo>&);
std::string to_json(const std::vector<NodeInfo>&);
std::string to_json(const NodeChange&);
std::string to_json(const NodeChangeReply&);
std::string to_json(const ChangesRequest&);
std::string to_json(const ChangesReply&);
std::string to_json(const VersionReply&);
std::string to_json(const std::vector<Finding>&);

// Defined for every struct above, and for std::vector of VolumeInfo, NodeInfo and Finding.
template <class T>
T from_json(const std::string& text);

// The envelope around a result or an error.
struct Reply {
  int protocol = kProtocolVersion;
  bool ok = false;
  std::string result;  // JSON text, when ok
  ErrorInfo error;     // when not
  std::vector<TraceStep> trace;
};
std::string to_json(const Reply&);
template <>
Reply from_json<Reply>(const std::string& text);

}  // namespace plexvol::api
