// What a caller says of the volume that it means. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/model/model.h"

namespace plexvol::volumes {

// Fields that were not given are empty; they then follow the volume that exists.
struct Wanted {
  std::string volume;
  std::optional<std::uint64_t> size_bytes;
  std::optional<unsigned> replicas;
  std::string pool;
  std::string fs_type;
  std::string mkfs_options;
  std::string tenant;  // the pod's namespace; "" where no pod is named
};

// All of it, whatever door it came by; but for the words for mkfs, which mkfs itself is asked about.
// Throws InvalidArgument.
void check(const Wanted& wanted);

// Throws InvalidArgument when another volume is meant than the one that exists under this name
// (contract fact 45).
void check_same_volume(const Wanted& wanted, const model::Volume& volume);

// What a volume that exists still takes on: the words for mkfs until it is formatted, and how many
// copies are asked for. True: it was changed. Throws InvalidArgument for words that mkfs must not
// be given.
bool take_on(const Wanted& wanted, model::Volume& volume);

// What the volume does not have of it, and what to do about it; "" when it has all.
std::string describe_unmet(const Wanted& wanted, const model::Volume& volume);

}  // namespace plexvol::volumes
