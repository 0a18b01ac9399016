#include "agent/filesystem/probe.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/filesystem/filesystem.h"
#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/filesystem/formatted_volume.h"

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::filesystem::Content;
using plexvol::filesystem::Filesystem;
using plexvol::filesystem::kUuid;
using plexvol::filesystem::Probe;
using plexvol::filesystem::probe;
using plexvol::filesystem::probe_apart;
using plexvol::filesystem::probe_formatted_apart;
using plexvol::filesystem::wipe_ends;
using plexvol::support::LoopDevice;
using plexvol::support::Mount;
using plexvol::support::TemporaryDirectory;

namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

// A device as far as reading goes: libblkid and mkfs take files, too.
class Image {
 public:
  explicit Image(std::uint64_t size_bytes = 64 * kMiB, const char* name = "image")
      : path_((directory_.path() / name).string()) {
    plexvol::support::make_sparse_file(path_, size_bytes);
  }

  const std::string& path() const { return path_; }

  void write(std::uint64_t offset, const std::string& bytes) const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file << bytes;
  }

  std::string read(std::uint64_t offset, std::size_t length) const {
    std::ifstream file(path_, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    std::string bytes(length, '?');
    file.read(bytes.data(), static_cast<std::streamsize>(length));
    return bytes;
  }

  void make(const std::string& type) const {
    plexvol::process::BoostRunner runner;
    Filesystem(runner).make({.device = path_, .type = type, .uuid = kUuid, .options = {}});
  }

 private:
  TemporaryDirectory directory_;
  std::string path_;
};

}  // namespace

TEST_CASE("zeros at both ends and no signature are surely empty") {
  CHECK(probe(Image().path()).content == Content::Empty);
  CHECK(probe(Image(kMiB / 2).path()).content == Content::Empty);
}

TEST_CASE("data without a signature is unknown, wherever it lies in the ends") {
  for (const std::uint64_t offset : {std::uint64_t{0}, kMiB - 1, 63 * kMiB, 64 * kMiB - 1}) {
    const Image image;
    image.write(offset, "x");
    const Probe seen = probe(image.path());
    CHECK(seen.content == Content::Unknown);
    CHECK(seen.detail.find("data at offset " + std::to_string(offset) + ",") == 0);
  }
}

TEST_CASE("file systems are named, with the UUID that they were made with") {
  for (const std::string type : {"ext4", "xfs"}) {
    const Image image(320 * kMiB);
    image.make(type);
    const Probe seen = probe(image.path());
    CHECK(seen.content == Content::Known);
    CHECK(seen.type == type);
    CHECK(seen.uuid == kUuid);
    CHECK(seen.detail == type);
  }
}

TEST_CASE("a child sees what this process would see, and fails as it would") {
  const Image image(320 * kMiB);
  image.make("xfs");
  const Probe seen = probe_apart(image.path());
  CHECK(seen.content == Content::Known);
  CHECK(seen.type == "xfs");
  CHECK(seen.uuid == kUuid);
  CHECK(seen.detail == "xfs");
  CHECK(probe_apart(Image().path()).content == Content::Empty);
  try {
    probe_apart("/dev/no-such-device");
    FAIL("it did not throw");
  } catch (const Error& error) {
    CHECK(error.code() == plexvol::ErrorCode::NotFound);
    CHECK(std::string(error.what()) == "/dev/no-such-device does not exist");
  }
}

TEST_CASE("a partition table is something known, too") {
  const Image image;
  std::string sector(512, '\0');
  sector[446 + 4] = '\x83';
  sector[446 + 9] = '\x08';
  sector[446 + 13] = '\x10';
  sector[510] = '\x55';
  sector[511] = '\xaa';
  image.write(0, sector);
  const Probe seen = probe(image.path());
  CHECK(seen.content == Content::Known);
  CHECK(seen.type == "dos");
}

TEST_CASE("signatures that contradict each other are unknown") {
  const Image xfs(320 * kMiB);
  xfs.make("xfs");
  const Image image(320 * kMiB);
  image.make("ext4");
  REQUIRE(probe(image.path()).type == "ext4");
  image.write(0, xfs.read(0, 512));
  const Probe seen = probe(image.path());
  CHECK(seen.content == Content::Unknown);
  CHECK(seen.detail == "signatures of more than one kind");
}

TEST_CASE("a signature with a wrong checksum is unknown") {
  const Image image;
  std::string label(32, '\0');
  label.replace(0, 8, "LABELONE");
  label[8] = '\1';  // in sector 1
  label[20] = 32;   // its content begins behind the header
  label.replace(24, 8, "LVM2 001");
  image.write(512, label);
  const Probe seen = probe(image.path());
  CHECK(seen.content == Content::Unknown);
  CHECK(seen.detail == "a superblock of LVM2_member with a wrong checksum");
}

TEST_CASE("what a pod writes into a file does not hide its file system [D9]") {
  for (const std::string type : {"ext4", "xfs"}) {
    CAPTURE(type);
    const Image image(320 * kMiB);
    image.make(type);
    // A file of a pod may lie there: an Intel RAID member's signature.
    image.write(320 * kMiB - 1024, "Intel Raid ISM Cfg Sig. 1.2.01");
    REQUIRE(probe(image.path()).type != type);
    const Probe seen = probe_formatted_apart(image.path(), type);
    CHECK(seen.content == Content::Known);
    CHECK(seen.type == type);
    CHECK(seen.uuid == kUuid);
  }
}

TEST_CASE("an ext4 made with features taken off is of its family [O17]") {
  for (const std::string options :
       {"^extent,^64bit,^metadata_csum,^flex_bg,^huge_file,^dir_nlink,^extra_isize,^uninit_bg",
        "^has_journal,^extent,^64bit,^metadata_csum,^flex_bg,^huge_file,^dir_nlink,^extra_isize,"
        "^uninit_bg"}) {
    const Image image;
    plexvol::process::BoostRunner runner;
    Filesystem(runner).make(
        {.device = image.path(), .type = "ext4", .uuid = kUuid, .options = {"-O", options}});
    REQUIRE(probe(image.path()).type != "ext4");
    const Probe seen = probe_formatted_apart(image.path(), "ext4");
    CHECK(seen.type == "ext4");
    CHECK(seen.uuid == kUuid);
    CHECK(probe_formatted_apart(image.path(), "xfs").type.starts_with("ext"));
  }
}

TEST_CASE("where the file system is gone, all that is there is told [D9]") {
  const Image image;
  CHECK(probe_formatted_apart(image.path(), "ext4").content == Content::Empty);
  image.write(5, "x");
  CHECK(probe_formatted_apart(image.path(), "ext4").detail.starts_with("data at offset 5,"));
  const Image xfs(320 * kMiB);
  xfs.make("xfs");
  CHECK(probe_formatted_apart(xfs.path(), "ext4").type == "xfs");
  CHECK_THROWS_AS(probe_formatted_apart("/dev/no-such-device", "ext4"), Error);
}

TEST_CASE(
    "a device that cannot be read or has no size is unknown, one that is not there an error") {
  CHECK(probe(Image(0).path()).content == Content::Unknown);
  CHECK(probe("/").content == Content::Unknown);
  CHECK_THROWS_AS(probe("/dev/no-such-device"), Error);
}

TEST_CASE("both ends are wiped, and nothing else") {
  const Image image;
  for (const std::uint64_t offset :
       {std::uint64_t{0}, kMiB - 1, kMiB, 63 * kMiB - 1, 63 * kMiB, 64 * kMiB - 1}) {
    image.write(offset, "x");
  }
  wipe_ends(image.path());
  CHECK(probe(image.path()).content == Content::Empty);
  CHECK(image.read(kMiB, 1) == "x");
  CHECK(image.read(63 * kMiB - 1, 1) == "x");
}

TEST_CASE("what is mounted is never wiped") {
  if (!plexvol::support::can_use_loop_devices()) return;
  const TemporaryDirectory directory;
  const LoopDevice device(directory.path() / "image", 64 * kMiB);
  plexvol::process::BoostRunner runner;
  Filesystem(runner).make({.device = device.path(), .type = "ext4", .uuid = kUuid, .options = {}});
  const Mount mounted(device.path(), directory.path() / "mnt", "ext4");
  try {
    wipe_ends(device.path());
    FAIL("it was wiped");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Conflict);
    CHECK(std::string(error.what()).find("mounted on " + mounted.point()) != std::string::npos);
  }
  CHECK(probe(device.path()).type == "ext4");
}

TEST_CASE("once it is wiped the device is free, whatever other threads start meanwhile") {
  if (!plexvol::support::can_use_loop_devices()) return;
  const TemporaryDirectory directory;
  const LoopDevice device(directory.path() / "image", 64 * kMiB);
  // A child has all that is open when it is forked: not what this test itself opens.
  std::mutex forking;
  // Tools on a busy machine: long from fork to exec.
  const std::jthread starter([&](const std::stop_token& over) {
    while (!over.stop_requested()) {
      std::unique_lock alone(forking);
      const pid_t child = fork();
      if (child != 0) alone.unlock();
      if (child == 0) {
        usleep(30'000);
        _exit(0);
      }
      waitpid(child, nullptr, 0);
    }
  });
  int busy = 0;
  for (int i = 0; i < 100; ++i) {
    wipe_ends(device.path());
    const std::lock_guard lock(forking);
    const plexvol::base::Descriptor alone(
        open(device.path().c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    if (!alone.is_open()) ++busy;
  }
  CHECK(busy == 0);
}
