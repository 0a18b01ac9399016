#include "agent/filesystem/features.h"

#include <doctest/doctest.h>

#include <algorithm>

using plexvol::filesystem::FeatureOption;
using plexvol::filesystem::features_to_leave_out;

namespace {

std::string left_out(const std::string& fs_type, const std::string& release) {
  std::string text;
  for (const auto& [letter, item] : features_to_leave_out(fs_type, release)) {
    if (!text.empty()) text += ' ';
    text.append(letter).append(" ").append(item);
  }
  return text;
}

}  // namespace

TEST_CASE("features that a kernel cannot mount are left out for it") {
  struct Case {
    const char* fs_type;
    const char* release;
    const char* expected;
  };
  const Case cases[] = {
      {"xfs", "6.1.0-56-amd64", ""},
      {"xfs", "5.10.0", "-i nrext64=0"},
      {"xfs", "5.4.0-150-generic", "-m bigtime=0 -m inobtcount=0 -i nrext64=0"},
      {"xfs", "4.9.0", "-m rmapbt=0 -m reflink=0 -m bigtime=0 -m inobtcount=0 -i nrext64=0"},
      {"xfs", "3.10.0-1160.el7.x86_64",
       "-m finobt=0 -i sparse=0 -m rmapbt=0 -m reflink=0 -m bigtime=0 -m inobtcount=0 "
       "-i nrext64=0"},
      {"ext4", "6.1.0", ""},
      {"ext4", "5.15.0", ""},
      {"ext4", "5.4", "-O ^orphan_file"},
      {"ext4", "3.10.0-1160.el7.x86_64", "-O ^metadata_csum_seed -O ^orphan_file"},
      {"btrfs", "3.10.0", ""},
  };
  for (const Case& one : cases) {
    CAPTURE(one.release);
    CHECK(left_out(one.fs_type, one.release) == one.expected);
  }
}

TEST_CASE("a release that cannot be read counts as an old kernel") {
  CHECK(left_out("ext4", "unknown") == "-O ^metadata_csum -O ^metadata_csum_seed -O ^orphan_file");
  CHECK(left_out("ext4", "") == left_out("ext4", "unknown"));
  CHECK(left_out("ext4", "6") == left_out("ext4", "unknown"));
}

TEST_CASE("the oldest kernel is the one that knows least [D13]") {
  using plexvol::filesystem::find_oldest_kernel;
  CHECK(find_oldest_kernel({}).empty());
  CHECK(find_oldest_kernel({"6.1.0-38-amd64", "4.15.0-213-generic", "5.10.0"}) ==
        "4.15.0-213-generic");
  CHECK(find_oldest_kernel({"3.10.0-1160.el7", "3.9.1"}) == "3.9.1");
  CHECK(find_oldest_kernel({"6.1.0", "unreadable"}) == "unreadable");
}
