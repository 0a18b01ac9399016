#include "agent/drbd/metadata.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "agent/drbd/drbd.h"
#include "agent/process/boost_runner.h"
#include "tests/support/data_file.h"
#include "tests/support/failing_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/scripted_runner.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/drbd/resource.h"

using plexvol::ErrorCode;
using plexvol::drbd::Drbd;
using plexvol::drbd::exact_metadata_size_bytes;
using plexvol::drbd::Failure;
using plexvol::drbd::failure_of;
using plexvol::drbd::fill_in_dump;
using plexvol::drbd::kMib;
using plexvol::drbd::kUuid;
using plexvol::drbd::metadata_size_bytes;
using plexvol::drbd::parse_current_uuid;
using plexvol::drbd::parse_dump_identifiers;
using plexvol::drbd::parse_generation_identifiers;
using plexvol::drbd::Resource;
using plexvol::drbd::sample_resource;
using plexvol::drbd::Settings;
using plexvol::process::BoostRunner;
using plexvol::process::Output;
using plexvol::support::can_use_loop_devices;
using plexvol::support::FailingRunner;
using plexvol::support::FailsWhen;
using plexvol::support::LoopDevice;
using plexvol::support::read_data_file;
using plexvol::support::ScriptedRunner;
using plexvol::support::TemporaryDirectory;

namespace {

constexpr std::uint64_t kGib = 1024 * kMib;
constexpr std::uint64_t kTib = 1024 * kGib;
constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kDataSize = 300 * kMib;

// Two real devices, the metadata's not empty but full of an earlier user's bytes behind its first
// 4 KiB, as lvcreate leaves it. The kernel does not know the resource.
struct Devices {
  TemporaryDirectory directory;
  LoopDevice data{directory.path() / "data", kDataSize};
  LoopDevice metadata{directory.path() / "metadata", 4 * kMib};
  BoostRunner runner;
  Settings settings{.config_directory = (directory.path() / "config").string(),
                    .module = {.directory = (directory.path() / "none").string(),
                               .proc = (directory.path() / "none").string()}};
  Drbd drbd{runner, settings};
  Resource resource = sample_resource();

  Devices() {
    // A minor that no other test of this machine uses: drbdmeta locks it.
    resource.minor = 1 + metadata.minor();
    resource.data_device = data.path();
    resource.metadata_device = metadata.path();
    write(std::string(4096, '\0') + std::string(4 * kMib - 4096, '\xA5'));
  }

  void write(const std::string& bytes) const {
    const int device = open(metadata.path().c_str(), O_WRONLY | O_CLOEXEC);
    REQUIRE(::write(device, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    REQUIRE(fsync(device) == 0);
    close(device);
  }

  std::string ask(const std::string& what) {
    return runner
        .run({.argv = {"/usr/sbin/drbdmeta", std::to_string(resource.minor), "v08", metadata.path(),
                       "flex-external", what},
              .input = {}})
        .out;
  }

  bool is_finished() {
    const std::string dump = ask("dump-md");
    return ask("get-gi").starts_with(kUuid +
                                     ":0000000000000000:0000000000000000:"
                                     "0000000000000000:1:1:0:0:0:0:0") &&
           dump.find("la-size-sect " + std::to_string(kDataSize / 512) + ";") !=
               std::string::npos &&
           dump.find("# bits-set 0;") != std::string::npos;
  }
};

// Real devices, and a drbdmeta that answers what it is told to.
struct Scripted {
  TemporaryDirectory directory;
  LoopDevice data{directory.path() / "data", kDataSize};
  LoopDevice metadata{directory.path() / "metadata", 4 * kMib};
  ScriptedRunner runner;
  Drbd drbd{runner,
            {.config_directory = directory.path().string(),
             .module = {.directory = "/nonexistent", .proc = "/nonexistent"}}};
  Resource resource = sample_resource();

  Scripted() {
    resource.data_device = data.path();
    resource.metadata_device = metadata.path();
  }

  void expect(const std::string& what, const Output& answer) {
    runner.expect({"/usr/sbin/drbdmeta", "1000", "v08", metadata.path(), "flex-external", what},
                  answer);
  }

  Failure failure_to_create() {
    return failure_of([&] { drbd.create_metadata(resource, kUuid); });
  }
};

bool can_use_drbdmeta() {
  if (access("/usr/sbin/drbdmeta", X_OK) == 0 && can_use_loop_devices()) return true;
  MESSAGE("left out: it needs drbdmeta and loop devices");
  return false;
}

}  // namespace

TEST_CASE("metadata's size: the formula of drbd.conf(5), in whole extents of LVM") {
  CHECK(exact_metadata_size_bytes(16 * kMib) == 9 * kBlock + kBlock);
  CHECK(exact_metadata_size_bytes(128 * kMib) == 9 * kBlock + kBlock);
  CHECK(exact_metadata_size_bytes(128 * kMib + 1) == 9 * kBlock + 2 * kBlock);
  CHECK(exact_metadata_size_bytes(kGib) == 9 * kBlock + 8 * kBlock);
  CHECK(metadata_size_bytes(16 * kMib) == 4 * kMib);
  CHECK(metadata_size_bytes(100 * kGib) == 4 * kMib);
  CHECK(metadata_size_bytes(kTib) == 36 * kMib);
  CHECK(metadata_size_bytes(16 * kTib) == 516 * kMib);
}

TEST_CASE("generation identifiers: only what create-md leaves counts as blank") {
  const auto is_blank = [](const std::string& current, const std::string& rest) {
    const std::string history = ":0000000000000000:0000000000000000";
    return parse_generation_identifiers(current + ":" + rest.substr(0, 16) + history +
                                        rest.substr(16) + "\n")
        .blank;
  };
  CHECK(is_blank("0000000000000004", "0000000000000000:0:0:0:0:0:0:0"));
  // A first resync that was interrupted: never again "new".
  CHECK_FALSE(is_blank("0000000000000004", "1234567890ABCDE0:0:0:0:0:0:0:0"));
  CHECK_FALSE(is_blank("0000000000000004", "0000000000000000:0:0:0:1:0:0:0"));
  CHECK_FALSE(is_blank("0000000000000004", "0000000000000000:0:0:0:0:1:0:0"));
  CHECK_FALSE(is_blank("1234567890ABCDE1", "0000000000000000:1:1:0:0:0:0:0"));
  CHECK_FALSE(is_blank("0000000000000000", "0000000000000000:0:0:0:0:0:0:0"));
}

TEST_CASE("generation identifiers: another form is an error") {
  for (const std::string text :
       {"", "0000000000000004", "nonsense", "0004:0:0:0:0:0:0",
        "0000000000000004:0000000000000000:0000000000000000:000000000000000x:0:0:0:0:0:0:0"}) {
    CAPTURE(text);
    const Failure failure = failure_of([&] { parse_generation_identifiers(text); });
    CHECK(failure.code == ErrorCode::Internal);
  }
}

TEST_CASE("a current UUID is 16 hex digits that stand for a generation; its lowest bit is DRBD's") {
  CHECK(parse_current_uuid("1234567890ABCDE0") == 0x1234567890ABCDE0U);
  CHECK(parse_current_uuid("1234567890abcde1") == 0x1234567890ABCDE0U);
  for (const std::string text :
       {"", "0000000000000000", "0000000000000004", "0000000000000005", "123456789",
        "0x34567890ABCDE0", "1234567890ABCDEG", " 234567890ABCDE0", "1234567890ABCDE00"}) {
    CAPTURE(text);
    const Failure failure = failure_of([&] { parse_current_uuid(text); });
    CHECK_FALSE(failure.message.empty());
    CHECK(failure.code == ErrorCode::InvalidArgument);
  }
}

TEST_CASE("the dump is filled in with UUID, flags, size and a whole bitmap of zeros") {
  const std::string filled =
      fill_in_dump(read_data_file("drbd/dump-new.txt"), 0x1234567890ABCDE0U, 200 * kMib);
  CHECK(filled == read_data_file("drbd/dump-filled.txt"));
}

TEST_CASE("a dump of anything but blank metadata is not filled in") {
  const std::string dump = read_data_file("drbd/dump-new.txt");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = dump;
    const std::size_t at = changed.find(from);
    REQUIRE(at != std::string::npos);
    return changed.replace(at, from.size(), to);
  };
  for (const std::string& other :
       {std::string(), with("\"v08\"", "\"v09\""), with("la-size-sect 0", "la-size-sect 2048"),
        with("flags 0x00000000", "flags 0x00000001"),
        with("0x0000000000000004", "0x1234567890ABCDE0"), with("bm {", "bn {"),
        with("la-size-sect 0;", "la-size-sect 0;\nla-size-sect 0;")}) {
    const Failure failure =
        failure_of([&] { fill_in_dump(other, 0x1234567890ABCDE0U, kDataSize); });
    CHECK(failure.code == ErrorCode::Internal);
  }
}

TEST_CASE("an answer of drbdmeta that is neither \"none\" nor some metadata is an error") {
  if (!can_use_loop_devices()) return;
  Scripted scripted;
  const std::string none = "No valid meta data found\n";
  const std::string unclean = "Found meta data is \"unclean\", please apply-al first\n";
  for (const auto& answers : std::vector<std::pair<Output, Output>>{
           {{.exit_code = 1, .out = {}, .err = {}}, {.exit_code = 1, .out = {}, .err = {}}},
           {{.exit_code = 20, .out = {}, .err = none}, {.exit_code = 1, .out = {}, .err = {}}},
           {{.exit_code = 1, .out = "version", .err = none},
            {.exit_code = 1, .out = {}, .err = {}}},
           {{.exit_code = 1, .out = {}, .err = "No valid meta data found?\n"},
            {.exit_code = 1, .out = {}, .err = {}}},
           {{.exit_code = 255, .out = {}, .err = unclean},
            {.exit_code = 137, .out = {}, .err = {}}},
           {{.exit_code = 255, .out = {}, .err = unclean},
            {.exit_code = 0, .out = "4\n", .err = {}}}}) {
    CAPTURE(answers.first.err);
    scripted.expect("dump-md", answers.first);
    scripted.expect("get-gi", answers.second);
    CHECK(scripted.failure_to_create().code == ErrorCode::Internal);
    CHECK(scripted.runner.is_done());
  }
  scripted.expect("dump-md", {.exit_code = 0, .out = "version \"v08\";\n", .err = {}});
  CHECK(scripted.failure_to_create().code == ErrorCode::Internal);
  const Output busy{.exit_code = 20, .out = {}, .err = "open(x) failed: Device or resource busy\n"};
  scripted.expect("dump-md", busy);
  scripted.expect("get-gi", busy);
  CHECK(scripted.failure_to_create().code == ErrorCode::Conflict);
}

TEST_CASE("metadata that the kernel did not leave in peace is known by its identifiers") {
  if (!can_use_loop_devices()) return;
  Scripted scripted;
  const Output unclean{.exit_code = 255, .out = {}, .err = "please apply-al first\n"};
  const std::string rest = ":0000000000000000:0000000000000000:0000000000000000:1:1:0:1:0:0:0\n";
  scripted.expect("dump-md", unclean);
  scripted.expect("get-gi", {.exit_code = 0, .out = "1234567890ABCDE1" + rest, .err = {}});
  scripted.drbd.create_metadata(scripted.resource, kUuid);
  scripted.expect("dump-md", unclean);
  scripted.expect("get-gi", {.exit_code = 0, .out = "2234567890ABCDE0" + rest, .err = {}});
  CHECK(scripted.failure_to_create().code == ErrorCode::Conflict);
  CHECK(scripted.runner.is_done());
}

TEST_CASE("blank metadata that the kernel has used already is not filled in") {
  if (!can_use_loop_devices()) return;
  Scripted scripted;
  std::string dump = read_data_file("drbd/dump-new.txt");
  const std::string unset = "la-size-sect 0;";
  dump.replace(dump.find(unset), unset.size(), "la-size-sect 614400;");
  scripted.expect("dump-md", {.exit_code = 0, .out = dump, .err = {}});
  CHECK(scripted.failure_to_create().code == ErrorCode::Conflict);
  CHECK(scripted.runner.is_done());
}

TEST_CASE("the dump tells what get-gi does") {
  const std::string dump = read_data_file("drbd/dump-new.txt");
  CHECK(parse_dump_identifiers(dump).blank);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = dump;
    return parse_dump_identifiers(changed.replace(changed.find(from), from.size(), to));
  };
  CHECK_FALSE(with("flags 0x00000000", "flags 0x00000001").blank);
  CHECK_FALSE(with("4; 0x0000000000000000", "4; 0x1234567890ABCDE0").blank);
  CHECK_FALSE(with("0x0000000000000004", "0x1234567890ABCDE1").blank);
  CHECK(with("0x0000000000000004", "0x1234567890ABCDE1").current == 0x1234567890ABCDE1U);
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"\"v08\"", "\"v07\""},
                                                        {"uuid {", "uuids {"},
                                                        {"# al-extents", ""},
                                                        {"; 0x0", "; 0y0"}}) {
    CHECK(failure_of([&, from = from, to = to] { with(from, to); }).code == ErrorCode::Internal);
  }
}

TEST_CASE(
    "drbdmeta: new metadata says up to date and nothing out of sync, on a device full of "
    "another's bytes") {
  if (!can_use_drbdmeta()) return;
  Devices devices;
  devices.drbd.create_metadata(devices.resource, kUuid);
  CHECK(devices.is_finished());
  // Again, with the same UUID: nothing to do. The secret's folder keeps no rest.
  devices.drbd.create_metadata(devices.resource, kUuid);
  CHECK(devices.is_finished());
  CHECK(std::filesystem::is_empty(devices.settings.config_directory));
}

TEST_CASE("drbdmeta: metadata with another UUID is never written over") {
  if (!can_use_drbdmeta()) return;
  Devices devices;
  devices.drbd.create_metadata(devices.resource, kUuid);
  CHECK(failure_of([&] {
          devices.drbd.create_metadata(devices.resource, "2234567890ABCDE0");
        }).code == ErrorCode::Conflict);
  CHECK(failure_of([&] { devices.drbd.create_blank_metadata(devices.resource); }).code ==
        ErrorCode::Conflict);
  CHECK(devices.is_finished());
}

TEST_CASE("drbdmeta: blank metadata says Inconsistent, and may be filled in later") {
  if (!can_use_drbdmeta()) return;
  Devices devices;
  devices.drbd.create_blank_metadata(devices.resource);
  devices.drbd.create_blank_metadata(devices.resource);
  CHECK(devices.ask("get-gi").starts_with("0000000000000004:"));
  devices.drbd.create_metadata(devices.resource, kUuid);
  CHECK(devices.is_finished());
}

TEST_CASE("drbdmeta: a file system on the metadata device stays") {
  if (!can_use_drbdmeta()) return;
  Devices devices;
  devices.runner.run({.argv = {"/sbin/mkfs.ext4", "-qF", devices.metadata.path()}, .input = {}});
  CHECK(failure_of([&] { devices.drbd.create_metadata(devices.resource, kUuid); }).code ==
        ErrorCode::Internal);
  const Output kept = devices.runner.run(
      {.argv = {"/sbin/blkid", "-p", "-o", "value", "-s", "TYPE", devices.metadata.path()},
       .input = {}});
  CHECK(kept.out == "ext4\n");
}

TEST_CASE("drbdmeta: a metadata device that is too small is refused before anything is written") {
  if (!can_use_drbdmeta()) return;
  Devices devices;
  const TemporaryDirectory directory;
  const LoopDevice small(directory.path() / "small", 9 * kBlock + kBlock);
  devices.resource.metadata_device = small.path();
  const Failure failure =
      failure_of([&] { devices.drbd.create_metadata(devices.resource, kUuid); });
  CHECK(failure.code == ErrorCode::InvalidArgument);
  CHECK(failure.message.find("needs 49152") != std::string::npos);
}

TEST_CASE("drbdmeta: whichever command fails, before or after its work, the next try finishes it") {
  if (!can_use_drbdmeta()) return;
  for (const FailsWhen when : {FailsWhen::Before, FailsWhen::After}) {
    for (std::size_t k = 1;; ++k) {
      CAPTURE(k);
      Devices devices;
      FailingRunner failing(devices.runner, k, when);
      Drbd broken(failing, devices.settings);
      const Failure failure = failure_of([&] { broken.create_metadata(devices.resource, kUuid); });
      if (failing.count() < k) break;
      CHECK_FALSE(failure.message.empty());
      devices.drbd.create_metadata(devices.resource, kUuid);
      CHECK(devices.is_finished());
      REQUIRE(k < 20);
    }
  }
}

TEST_CASE("a dump whose numbers are none is an error that shows them [S6]") {
  const std::string dump = read_data_file("drbd/dump-new.txt");
  const std::size_t at = dump.find("0x0000000000000004");
  REQUIRE(at != std::string::npos);
  for (const char* number : {"0x00000000000000004444", "0x", "0x-1", "0xfffffffffffffffff",
                             "0x12345678x", "0x\xff\xfe"}) {
    CAPTURE(number);
    std::string changed = dump;
    changed.replace(at, 18, number);
    try {
      parse_dump_identifiers(changed);
      FAIL("it did not throw");
    } catch (const plexvol::Error& error) {
      CHECK(error.code() == ErrorCode::Internal);
    }
  }
}
