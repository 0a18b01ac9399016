// The text forms of drbdmeta(8): generation identifiers and the dump. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace plexvol::drbd {

// What `drbdmeta ... get-gi` says: "0000000000000004:...:...:...:0:0:0:0:0:0:0".
struct GenerationIdentifiers {
  std::uint64_t current = 0;
  bool blank = false;  // exactly what create-md leaves: current is 4, nothing else is set
};
// Throws Internal when it is not of this form.
GenerationIdentifiers parse_generation_identifiers(const std::string& text);

// The same from the whole dump (v08 or v09): DRBD 9's get-gi only tells about one peer. Throws
// Internal when it is not of the known form.
GenerationIdentifiers parse_dump_identifiers(const std::string& dump);

// Throws InvalidArgument unless it is 16 hex digits that may stand for a generation. The lowest bit
// is cleared.
std::uint64_t parse_current_uuid(const std::string& text);

// The dump of blank metadata (v08 or v09), changed so that it says: consistent, up to date, clean,
// this current UUID, this size, no block out of sync. Throws Internal when the dump is not one of
// blank metadata as we know it.
std::string fill_in_dump(const std::string& dump, std::uint64_t current_uuid,
                         std::uint64_t data_size_bytes);

// Bytes that external metadata for one peer needs for a data device of this size, rounded up to 4
// MiB (drbd.conf(5)).
std::uint64_t metadata_size_bytes(std::uint64_t data_size_bytes);
// What is needed at least, without rounding.
std::uint64_t exact_metadata_size_bytes(std::uint64_t data_size_bytes);

}  // namespace plexvol::drbd
