// What names, sizes and options may look like: checked at the edge, before anything is stored or
// run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace plexvol {

// Volume: 1 to 63 of [A-Za-z0-9._-], first and last alphanumeric, no "..", not ending in ".meta"
// (the name of the DRBD metadata volume beside it), and none of the words that lvm2 keeps for
// itself (lvm(8), "reserved names"). Node: a Kubernetes node name, an RFC 1123 subdomain of at most
// 253. Pool: [A-Za-z0-9_.-], at most 63. Each throws InvalidArgument naming the text, what is
// wrong with it and what is allowed.
void check_volume_name(std::string_view name);
// For a volume that is to be made. Refuses as well what a volume of an older version may be called:
// words that are sections of DRBD's configuration.
void check_new_volume_name(std::string_view name);
// A Kubernetes namespace: an RFC 1123 label of at most 63.
void check_namespace(std::string_view name);
void check_node_name(std::string_view name);
void check_pool_name(std::string_view name);

// The label that a Kubernetes node has while it has a copy of the volume, or the volume mounted:
// "volume.plexvol.io/data", with the value kCopyLabelValue. Every name that check_volume_name()
// accepts is a valid name part of a label's key: at most 63 of [A-Za-z0-9._-], first and last
// alphanumeric.
inline constexpr const char* kVolumeLabelPrefix = "volume.plexvol.io/";
inline constexpr const char* kCopyLabelValue = "copy";
std::string volume_label(std::string_view volume);
// Whether it is the key of such a label; only then, `volume` is set.
bool is_volume_label(std::string_view key, std::string& volume);

// "1Gi", "500M", "1000m" (the classic LVM demo's lower-case suffix), "1073741824", "1.5Gi".
// Ki/Mi/Gi/Ti/Pi are powers of 1024, as are lvm's single lower-case k/m/g/t; K/M/G/T/P are powers
// of 1000 as in Kubernetes. Throws InvalidArgument when it is no size, is below 16 MiB (the
// smallest xfs of old kernels and DRBD's metadata both fit above) or above 1 PiB. The result is
// rounded up to 4 MiB, LVM's default extent.
std::uint64_t parse_size_bytes(std::string_view text);
// "1Gi", "1.5Gi", "20Mi": for people.
std::string size_to_text(std::uint64_t bytes);

}  // namespace plexvol
