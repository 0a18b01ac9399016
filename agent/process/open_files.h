// Which files processes have open or mapped. A worker never touches such a file itself: its file
// system may never respond.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/mounts/mountinfo.h"
#include "agent/process/namespaces.h"

namespace plexvol::process {

struct OpenFile {
  pid_t pid = 0;
  int descriptor = 0;
  unsigned mount_id = 0;  // of the mount that it was opened through
};

// Shows the open files of a process that have a path, until the visitor returns false. Throws as
// strict_proc.h says.
void for_each_open_file(pid_t pid,
                        const std::function<bool(const OpenFile&, const std::string& path)>& visit);

// Tells from the mount that a file was opened through whether it may be a device node.
class NodeMounts {
 public:
  void add(const mounts::MountEntry& entry);
  // False for most files, so that few have to be examined. True for mounts that no namespace shows:
  // they may hold anything.
  bool may_be_device(const OpenFile& file, const std::string& path) const;

 private:
  std::set<unsigned> of_memory_;  // devtmpfs, tmpfs
  std::set<unsigned> of_disks_;   // local file systems that may have a /dev of their own
  std::set<unsigned> others_;
};

enum class FileKind {
  Other,
  Device,    // one of the devices themselves
  OnDevice,  // a file of a file system on one of them
};
// What each of the files is; nullopt when its file system does not respond. Uses children that may
// hang.
std::vector<std::optional<FileKind>> find_kinds(const std::vector<OpenFile>& files,
                                                const std::vector<mounts::DeviceNumber>& devices);

// Whether each of the processes has a file of one of the devices mapped; nullopt when its memory
// map is locked. Uses children that may hang.
std::vector<std::optional<bool>> find_mapped(const std::vector<pid_t>& pids,
                                             const std::vector<mounts::DeviceNumber>& devices);

// Pure. Whether a piece of /proc/PID/maps names a file of one of the devices; pieces may end
// anywhere. Makes no system calls and takes no memory.
class MapsReader {
 public:
  explicit MapsReader(const std::vector<mounts::DeviceNumber>& devices) : devices_(devices) {}
  bool feed(const char* text, std::size_t length);

 private:
  bool is_one_of_them() const;

  const std::vector<mounts::DeviceNumber>& devices_;
  int column_ = 0;
  bool in_minor_ = false;
  unsigned major_ = 0;
  unsigned minor_ = 0;
};

}  // namespace plexvol::process
