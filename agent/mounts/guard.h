// The guard of a pod's volume directory: while no volume is mounted there, nothing can be written.
//
// No call comes when a container restarts (contract fact 31). If its volume was unmounted
// meanwhile, the container would start on an empty, writable directory of the node's root disk,
// and whatever it writes there would be hidden by the next mount. So the directory that is mounted
// on is immutable (FS_IOC_SETFLAGS), or, where its file system has no such flag, lies below an
// empty read-only tmpfs.
//
// Only directories of pods are guarded. Kubelets remove the directories of devices (contract fact
// 26) by themselves, without a call, and would fail to for ever.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plexvol::mounts {

// <pods>/<pod>/volumes/<plugin>/<name>, for example
// /var/lib/kubelet/pods/6f0c.../volumes/plexvol~plexvol/data.
struct PodVolume {
  std::string pods;    // the kubelet's directory of pods, ends with "/pods"
  std::string pod;     // UID
  std::string plugin;  // the driver's name, with '~' for '/'
  std::string name;    // the PersistentVolume's, or the pod volume's
};

// Pure. nullopt: the path is no pod's volume directory.
std::optional<PodVolume> parse_pod_volume(const std::string& path);
std::string to_path(const PodVolume& volume);

// The source in mountinfo of the tmpfs that stands in for the flag, and whether a mount is one.
std::string guard_source(const std::string& volume);
bool is_guard(std::string_view fs_type, std::string_view source);

struct Bare {
  bool guarded = false;
  std::string volume;  // of the guard; "" when it is not known
};

// What is known of a directory that no volume is mounted on. nullopt: a volume or something else
// is mounted there, it is no directory, or it does not exist. The file systems that are mounted
// below are never touched. `root` is prepended to the path: where the host's / is seen.
std::optional<Bare> find_bare(const std::string& path, const std::string& root = "");

// Guards the directory, which has no volume mounted on it. Does nothing when it is guarded already.
// Throws Internal when neither way works, or when something else is mounted there.
void set_guard(const std::string& path, const std::string& volume);

// Takes the guard away, whichever it is. Does nothing when there is none, when the directory does
// not exist, and while a volume is mounted there. Throws Internal with the kernel's word.
void clear_guard(const std::string& path);

enum class Removal { Removed, NotEmpty, Mounted };
// Takes the flag away and removes the directory (rmdir(2), never what is in it). One that is not
// empty keeps its flag. A tmpfs that stands in for the flag counts as mounted: unmount it first.
// Throws Internal with the kernel's word.
Removal remove_bare(const std::string& path, const std::string& root = "");

// Every directory <pods>/<pod>/volumes/plexvol~*/<name> there is. What cannot be read is left out.
std::vector<PodVolume> list_pod_volumes(const std::string& pods, const std::string& root = "");

// What `mountdevice` leaves on a kubelet's directory of a device: an empty read-only tmpfs. It
// counts as mounted for the kubelet, which goes by stat(2) (contract fact 27), and is no reference
// to the device (fact 28, kubelet's GetMountRefs): else of one volume under two names neither could
// ever be unmounted. A bind of the directory on itself would not count as mounted, since its
// st_dev is its parent's.
std::string placeholder_source(const std::string& volume);
bool is_placeholder(std::string_view fs_type, std::string_view source);

// An empty read-only tmpfs. Throws Internal with the kernel's word.
void mount_empty(const std::string& path, const std::string& source);

}  // namespace plexvol::mounts
