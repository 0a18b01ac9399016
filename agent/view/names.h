// How Plexvol's custom resources are called at the API server, so that kubectl shows volumes and nodes.
//
// They show what the store holds; the leading controller writes them. To delete one deletes no volume.
// Their definitions are in installer/render.
#pragma once

#include <string>

namespace plexvol::view {

inline constexpr const char* kApiVersion = "plexvol.io/v1alpha1";
inline constexpr const char* kVolumeKind = "PlexvolVolume";
inline constexpr const char* kNodeKind = "PlexvolNode";
inline constexpr const char* kVolumesPath = "/apis/plexvol.io/v1alpha1/plexvolvolumes";
inline constexpr const char* kNodesPath = "/apis/plexvol.io/v1alpha1/plexvolnodes";

// The name of a volume's object. Names of objects are RFC 1123 subdomains, and a volume's own name may
// have capitals, "_" and "-" beside ".": what is none has these replaced, and a hash of the name at its
// end, so that no two volumes share an object. The object's status.volume is the volume's own name.
std::string object_name(const std::string& volume);

}  // namespace plexvol::view
