#include "agent/process/open_files.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

using plexvol::process::MapsReader;
using plexvol::process::NodeMounts;
using Devices = std::vector<plexvol::mounts::DeviceNumber>;

namespace {

bool names_one(const std::string& maps, const Devices& devices) {
  MapsReader reader(devices);
  return reader.feed(maps.data(), maps.size());
}

}  // namespace

TEST_CASE("maps: a device is looked for in its own column only [S9]") {
  const Devices devices{{.major = 8, .minor = 1}};
  CHECK(names_one("7f0000-7f1000 r--p 00000000 08:01 393    /mnt/x\n", devices));
  CHECK_FALSE(names_one("7f0000-7f1000 r--p 00000000 fd:00 393    /tmp/ 08:01 \n", devices));
  CHECK_FALSE(names_one("7f0000-7f1000 r--p 00000000 fd:00 393    /a 08:01 b\n", devices));
  CHECK_FALSE(names_one("7f0000-7f1000 r--p 00000000 08:10 1 \n", devices));
  CHECK_FALSE(names_one("7f0000-7f1000 r--p 00000801 00:00 0 \n", devices));
  CHECK_FALSE(names_one("", devices));
}

TEST_CASE("maps: numbers are hexadecimal, and pieces may end anywhere") {
  const Devices devices{{.major = 147, .minor = 1000}, {.major = 0, .minor = 57}};
  const std::string maps =
      "7f0000-7f1000 r--p 00000000 00:00 0 \n"
      "7f0000-7f1000 r--p 00000000 93:3e8 12 /x\n";
  for (std::size_t at = 0; at <= maps.size(); ++at) {
    MapsReader reader(devices);
    const bool first = reader.feed(maps.data(), at);
    CHECK((first || reader.feed(maps.data() + at, maps.size() - at)));
  }
  CHECK(names_one("7f0000-7f1000 r--p 00000000 00:39 12 /x\n", devices));
}

TEST_CASE("only what may be a device node is looked at closely [S3]") {
  NodeMounts mounts;
  const auto add = [&](unsigned id, const char* type) {
    plexvol::mounts::MountEntry entry;
    entry.id = id;
    entry.fs_type = type;
    mounts.add(entry);
  };
  add(1, "devtmpfs");
  add(2, "ext4");
  add(3, "fuse.sshfs");
  add(4, "nfs4");
  const auto may_be = [&](unsigned mount, const char* path) {
    return mounts.may_be_device({.pid = 1, .descriptor = 3, .mount_id = mount}, path);
  };
  CHECK(may_be(1, "/host/dev/drbd1000"));
  CHECK(may_be(2, "/dev/drbd1000"));
  CHECK_FALSE(may_be(2, "/var/log/x"));
  CHECK_FALSE(may_be(3, "/dev/x"));
  CHECK_FALSE(may_be(4, "/dev/x"));
  CHECK(may_be(5, "/file"));  // of a mount that is gone
}
