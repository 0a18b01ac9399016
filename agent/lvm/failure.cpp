#include "agent/lvm/failure.h"

#include <fmt/core.h>

#include <string_view>

#include "agent/api/error.h"

namespace plexvol::lvm {

namespace {

bool says(const process::Output& output, std::string_view words) {
  return output.err.find(words) != std::string::npos;
}

// The group's, which holds some thousand logical volumes. The second by older lvm.
bool has_full_metadata_area(const process::Output& output) {
  return says(output, "exceeds maximum metadata size") ||
         says(output, "too large for circular buffer");
}

// The one place that turns what lvm says into a code.
ErrorCode code_of(const process::Output& output) {
  if (misses_volume(output)) return ErrorCode::NotFound;
  if (says(output, "not found in Volume group")) return ErrorCode::NotFound;
  if (says(output, "is not a thin pool")) return ErrorCode::InvalidArgument;
  if (says(output, "already exists in volume group")) return ErrorCode::AlreadyExists;
  for (const std::string_view words :
       {"insufficient free space", "Insufficient free space", "Insufficient suitable",
        "above threshold", "not enough free space", "Not enough free"}) {
    if (says(output, words)) return ErrorCode::OutOfSpace;
  }
  if (has_full_metadata_area(output)) return ErrorCode::OutOfSpace;
  const bool misses_disk =
      says(output, "while PVs are missing") || says(output, "activation of partial LV");
  if (is_in_use(output) || misses_disk) return ErrorCode::Conflict;
  return ErrorCode::Internal;
}

// What lvm calls a full metadata area would tell nobody what to do.
std::string advice_for(const process::Output& output) {
  if (!has_full_metadata_area(output)) return "";
  return "; the metadata area of the volume group is full: remove logical volumes from it, or add "
         "a physical volume with a larger one (pvcreate --metadatasize)";
}

}  // namespace

bool misses_group(const process::Output& output) {
  return says(output, "Volume group \"") && says(output, "not found");
}

bool misses_volume(const process::Output& output) {
  return says(output, "Failed to find logical volume");
}

bool misses_device(const process::Output& output) {
  return says(output, "Couldn't find device") || says(output, "missing PV");
}

bool is_in_use(const process::Output& output) {
  return says(output, "in use") || says(output, "is used by another device");
}

void throw_failed(const std::string& tried, const process::Output& output) {
  throw Error(code_of(output), fmt::format("{} failed: exit code {}: {}{}", tried, output.exit_code,
                                           process::said(output), advice_for(output)));
}

}  // namespace plexvol::lvm
