// The FlexVolume options object, read and checked. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/model/model.h"

namespace plexvol::service {

// What a call asks for. Fields that were not given are empty; they then follow the volume that
// exists.
struct Wish {
  std::string volume;  // `volume`, else `volumeID`, else the PV's or pod volume's name
  // The PV's or pod volume's name: all that detach will be told (contract fact 33).
  std::string name;
  std::optional<std::uint64_t> size_bytes;
  std::optional<unsigned> replicas;
  std::string pool;     // `pool`, else `volumegroup`
  std::string fs_type;  // `fsType`, else kubernetes.io/fsType
  std::string mkfs_options;
  std::vector<std::string> mount_flags;
  std::string mount_data;
  bool read_only = false;
  std::string tenant;  // the pod's namespace; "" where no pod is named
};

// A call for what is attached or mounted already goes on with a manifest that older versions took.
enum class UnknownOptions { Refuse, Ignore };
// Throws InvalidArgument naming the option, and for one that is not known the nearest that is.
Wish parse_options(const api::Options& options, UnknownOptions unknown = UnknownOptions::Refuse);

// Throws InvalidArgument when the options speak of another volume than the one that exists under
// this name (fact 45).
void check_same_volume(const Wish& wish, const model::Volume& volume);

// What of the options a volume that exists still takes on: the words for mkfs until it is
// formatted, and how many copies are asked for. True: it was changed. Throws InvalidArgument for
// words that mkfs must not be given.
bool adopt(const Wish& wish, model::Volume& volume);

// What of the options the volume does not have, and what to do about it; "" when it has all.
std::string describe_unmet(const Wish& wish, const model::Volume& volume);

// The words that create() stores, checked: "" becomes ext4.
std::string check_fs_type(const std::string& fs_type);
void check_replicas(unsigned replicas);
void check_fs_size(const std::string& fs_type, std::uint64_t size_bytes);

}  // namespace plexvol::service
