#include "agent/filesystem/mkfs_options.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/filesystem/formatted_volume.h"

using plexvol::Error;
using plexvol::filesystem::kUuid;
using plexvol::filesystem::mkfs_command;
using plexvol::filesystem::parse_mkfs_options;
using Words = std::vector<std::string>;

namespace {

constexpr const char* kNewKernel = "6.1.0";

std::string command(const std::string& type, const std::string& options,
                    const std::string& release = kNewKernel) {
  return plexvol::process::to_text(
      {.argv = mkfs_command({.device = "/dev/x",
                             .type = type,
                             .uuid = kUuid,
                             .options = parse_mkfs_options(type, options)},
                            release),
       .input = {}});
}

}  // namespace

TEST_CASE("mkfs options are taken apart into letters and values, joined or not") {
  CHECK(parse_mkfs_options("ext4", "").empty());
  CHECK(parse_mkfs_options("ext4", " -m 5\t-i8192 -O ^has_journal,dir_index -q") ==
        Words{"-m", "5", "-i", "8192", "-O", "^has_journal,dir_index", "-q"});
  CHECK(parse_mkfs_options("xfs", "-d agcount=4 -K -isize=512") ==
        Words{"-d", "agcount=4", "-K", "-i", "size=512"});
}

TEST_CASE("mkfs options that name paths or devices, force, or are unknown are refused") {
  const std::pair<const char*, const char*> cases[] = {
      {"ext4", "-d /etc"},
      {"ext4", "-F"},
      {"ext4", "-J device=/dev/sda"},
      {"ext4", "-J size=4,device=x"},
      {"ext4", "-U random"},
      {"ext4", "-n"},
      {"ext4", "-E offset=4096"},
      {"ext4", "-E stride=4,test_fs"},
      {"ext4", "-O journal_dev"},
      {"ext4", "-z /tmp/undo"},
      {"ext4", "-e panic"},
      {"ext4", "-b 1024"},
      {"ext4", "-b 65536"},
      {"ext4", "-E mmp_update_interval=1"},
      {"xfs", "-b size=1024"},
      {"xfs", "-b log=10"},
      {"xfs", "-s size=512"},
      {"xfs", "-d sectsize=512"},
      {"xfs", "-l sectsize=512"},
      {"xfs", "-d rtinherit=1"},
      {"ext4", "/dev/sda"},
      {"ext4", "-m"},
      {"ext4", "-m /x"},
      {"ext4", "-q5"},
      {"ext4", "--help"},
      {"ext4", "-"},
      {"ext4", "-m -F"},
      {"xfs", "-f"},
      {"xfs", "-l logdev=/dev/sda"},
      {"xfs", "-l internal=0"},
      {"xfs", "-r rtdev=x"},
      {"xfs", "-p proto"},
      {"xfs", "-d file,name=x"},
      {"xfs", "-d size=1g"},
      {"xfs", "-m uuid=x"},
      {"xfs", "-N"},
      {"xfs", "-c options=x"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.second);
    CHECK_THROWS_AS(parse_mkfs_options(one.first, one.second), Error);
  }
}

TEST_CASE("labels are ours: nobody can name a volume as the host's root [S5]") {
  for (const char* type : {"ext4", "xfs"}) {
    for (const char* options : {"-L cloudimg-rootfs", "-Lcloudimg-rootfs", "-m 0 -L x"}) {
      CAPTURE(options);
      CHECK_THROWS_AS(parse_mkfs_options(type, options), Error);
    }
    CHECK_THROWS_AS(
        mkfs_command(
            {.device = "/dev/x", .type = type, .uuid = kUuid, .options = {"-L", "cloudimg-rootfs"}},
            kNewKernel),
        Error);
  }
}

TEST_CASE("file systems other than ext4 and xfs are not made") {
  CHECK_THROWS_AS(parse_mkfs_options("btrfs", ""), Error);
  CHECK_THROWS_AS(
      mkfs_command({.device = "/dev/x", .type = "ext3", .uuid = kUuid, .options = {}}, kNewKernel),
      Error);
}

TEST_CASE("a UUID that is none is refused") {
  for (const std::string uuid : {"", "x", "01234567-89ab-cdef-0123-456789abcde", "random",
                                 "0123456789ab-cdef-0123-456789abcdef--"}) {
    CHECK_THROWS_AS(
        mkfs_command({.device = "/dev/x", .type = "ext4", .uuid = uuid, .options = {}}, kNewKernel),
        Error);
  }
}

TEST_CASE("our defaults stand where the user says nothing else") {
  CHECK(command("ext4", "") ==
        "mkfs.ext4 -q -F -m 0 -b 4096 -U 01234567-89ab-cdef-0123-456789abcdef -E nodiscard /dev/x");
  CHECK(command("xfs", "") ==
        "mkfs.xfs -q -f -K -b size=4096 -s size=4096 -m uuid=01234567-89ab-cdef-0123-456789abcdef "
        "/dev/x");
  CHECK(command("ext4", "-m 5 -E stride=16") ==
        "mkfs.ext4 -q -F -m 5 -b 4096 -U 01234567-89ab-cdef-0123-456789abcdef -E "
        "nodiscard,stride=16 /dev/x");
  CHECK(command("ext4", "-b 4096") == command("ext4", ""));
  CHECK(command("xfs", "-b size=4096") == command("xfs", ""));
}

TEST_CASE("a file system made on a disk with sectors of 512 bytes is one for 4 KiB, too [D13]") {
  const plexvol::support::TemporaryDirectory directory;
  const std::string image = (directory.path() / "image").string();
  plexvol::process::BoostRunner runner;
  const auto make = [&](const std::string& type, std::uint64_t size_bytes) {
    plexvol::support::make_sparse_file(image, size_bytes);
    plexvol::process::run_checked(
        runner, {.argv = mkfs_command({.device = image, .type = type, .uuid = kUuid, .options = {}},
                                      kNewKernel),
                 .input = {}});
  };
  make("xfs", 320U << 20U);
  const auto xfs = plexvol::process::run_checked(
      runner,
      {.argv = {"/sbin/xfs_db", "-r", "-c", "sb 0", "-c", "print sectsize", image}, .input = {}});
  CHECK(xfs.out == "sectsize = 4096\n");
  // mke2fs would take blocks of 1 KiB for one so small.
  make("ext4", 16U << 20U);
  const auto ext4 =
      plexvol::process::run_checked(runner, {.argv = {"/sbin/dumpe2fs", "-h", image}, .input = {}});
  CHECK(ext4.out.find("Block size:               4096\n") != std::string::npos);
}

TEST_CASE("what an old kernel cannot mount is left out, unless the user asks for it") {
  CHECK(command("ext4", "-O quota", "5.4.0").find("-O '^orphan_file,quota'") != std::string::npos);
  CHECK(command("ext4", "-O orphan_file", "5.4.0").find("-O orphan_file /dev/x") !=
        std::string::npos);
  CHECK(command("xfs", "-m bigtime=1,crc=1", "5.4.0")
            .find(",inobtcount=0,bigtime=1,crc=1 -i nrext64=0 /dev/x") != std::string::npos);
}

TEST_CASE("mkfs itself takes what we give it, for every kernel") {
  const plexvol::support::TemporaryDirectory directory;
  const std::string image = (directory.path() / "image").string();
  plexvol::support::make_sparse_file(image, 320U << 20U);
  plexvol::process::BoostRunner runner;
  const auto make = [&](const std::string& type, const std::string& options,
                        const std::string& release) {
    return runner
        .run({.argv = mkfs_command({.device = image,
                                    .type = type,
                                    .uuid = kUuid,
                                    .options = parse_mkfs_options(type, options)},
                                   release),
              .input = {}})
        .exit_code;
  };
  for (const std::string release :
       {"3.2.0", "3.10.0-1160.el7", "4.4.0", "4.19", "5.4.0", "5.15.0", "6.1.0"}) {
    CAPTURE(release);
    CHECK(make("ext4", "-i 32768 -O quota -E stride=16", release) == 0);
    CHECK(make("xfs", "-d agcount=2 -n ftype=1 -l size=64m", release) == 0);
  }
}
