#include "agent/filesystem/features.h"

#include <algorithm>
#include <cstddef>

#include "agent/base/version.h"

namespace plexvol::filesystem {

namespace {

struct Feature {
  const char* fs_type = nullptr;
  base::Version since{};  // the first kernel that mounts it without a warning about experiments
  const char* option = nullptr;
  const char* off = nullptr;
};

// CentOS 7's 3.10 carries xfs version 5 (crc), upstream has it without warning since 3.15.
constexpr Feature kFeatures[] = {
    {"xfs", {3, 10}, "-m", "crc=0"},          {"xfs", {3, 16}, "-m", "finobt=0"},
    {"xfs", {4, 2}, "-i", "sparse=0"},        {"xfs", {4, 16}, "-m", "rmapbt=0"},
    {"xfs", {4, 16}, "-m", "reflink=0"},      {"xfs", {5, 10}, "-m", "bigtime=0"},
    {"xfs", {5, 10}, "-m", "inobtcount=0"},   {"xfs", {5, 19}, "-i", "nrext64=0"},
    {"ext4", {3, 6}, "-O", "^metadata_csum"}, {"ext4", {4, 4}, "-O", "^metadata_csum_seed"},
    {"ext4", {5, 15}, "-O", "^orphan_file"},
};

}  // namespace

std::vector<FeatureOption> features_to_leave_out(const std::string& fs_type,
                                                 const std::string& kernel_release) {
  const base::Version kernel = base::parse_version(kernel_release);
  std::vector<FeatureOption> options;
  for (const Feature& feature : kFeatures) {
    if (fs_type == feature.fs_type && kernel < feature.since) {
      options.emplace_back(feature.option, feature.off);
    }
  }
  return options;
}

std::string find_oldest_kernel(const std::vector<std::string>& releases) {
  const auto oldest = std::min_element(releases.begin(), releases.end(),
                                       [](const std::string& a, const std::string& b) {
                                         return base::parse_version(a) < base::parse_version(b);
                                       });
  return oldest == releases.end() ? "" : *oldest;
}

}  // namespace plexvol::filesystem
