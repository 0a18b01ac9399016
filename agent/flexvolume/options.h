// The FlexVolume options object, read and checked. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/volumes/wanted.h"

namespace plexvol::flexvolume {

struct Request {
  // Its name is `volume`, else `volumeID`, else the PV's or pod volume's name; its pool `pool`, else
  // `volumegroup`; its file system `fsType`, else kubernetes.io/fsType.
  volumes::Wanted wanted;
  // The PV's or pod volume's name: all that detach will be told (contract fact 33).
  std::string name;
  std::vector<std::string> mount_flags;
  std::string mount_data;
  bool read_only = false;
};

// A call for what is attached or mounted already goes on with a manifest that older versions took.
enum class UnknownOptions { Refuse, Ignore };
// Throws InvalidArgument naming the option, and for one that is not known the nearest that is.
Request parse_options(const api::Options& options, UnknownOptions unknown = UnknownOptions::Refuse);

}  // namespace plexvol::flexvolume
