#include "agent/filesystem/mount_options.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/api/error.h"

using plexvol::Error;
using plexvol::filesystem::MountOptions;
using plexvol::filesystem::parse_mount_options;
using Words = std::vector<std::string>;

TEST_CASE("mount options are parted into flags and what the file system reads") {
  const MountOptions options = parse_mount_options("noatime,discard,nodev,commit=30,,defaults");
  CHECK(options.flags == Words{"noatime", "nodev"});
  CHECK(options.data == "discard,commit=30");
  CHECK_FALSE(options.read_only);
}

TEST_CASE("no mount options are no options") {
  const MountOptions options = parse_mount_options("");
  CHECK(options.flags.empty());
  CHECK(options.data.empty());
}

TEST_CASE("of ro and rw the last one counts") {
  CHECK(parse_mount_options("ro").read_only);
  CHECK_FALSE(parse_mount_options("ro,rw").read_only);
  CHECK(parse_mount_options("rw,noatime,ro").read_only);
}

TEST_CASE("an SELinux context keeps its commas") {
  const MountOptions options =
      parse_mount_options("context=\"system_u:object_r:container_file_t:s0:c1,c2\",noatime");
  CHECK(options.data == "context=\"system_u:object_r:container_file_t:s0:c1,c2\"");
  CHECK(options.flags == Words{"noatime"});
}

TEST_CASE("a journal is left out only in a read-only mount") {
  CHECK(parse_mount_options("noload,ro").data == "noload");
  CHECK(parse_mount_options("ro,norecovery").data == "norecovery");
  CHECK_THROWS_AS(parse_mount_options("noload"), Error);
  CHECK_THROWS_AS(parse_mount_options("norecovery,rw"), Error);
}

TEST_CASE("mount options that reach out of the file system, or are unknown, are refused") {
  for (const std::string text : {"bind",
                                 "rbind",
                                 "remount",
                                 "move",
                                 "shared",
                                 "rprivate",
                                 "loop",
                                 "offset=1",
                                 "journal_path=/dev/sda",
                                 "journal_dev=8",
                                 "usrjquota=aquota.user",
                                 "logdev=/dev/sda",
                                 "rtdev=/dev/sda",
                                 "errors=panic",
                                 "user",
                                 "x-systemd.automount",
                                 "X-mount.mkdir",
                                 "helper=nfs",
                                 "data=/etc/passwd",
                                 "commit=1 0",
                                 "resuid=0\n",
                                 "Noatime",
                                 "context=\"a",
                                 "discard=\"x\"",
                                 "noatime;"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_mount_options(text), Error);
  }
}
