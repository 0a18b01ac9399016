#include "agent/filesystem/filesystem.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/scripted_runner.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/filesystem/formatted_volume.h"

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::filesystem::Filesystem;
using plexvol::filesystem::kUuid;
using plexvol::support::ScriptedRunner;
using plexvol::support::TemporaryDirectory;

namespace {

class DoesNothing : public plexvol::process::Runner {
 public:
  plexvol::process::Output run(const plexvol::process::Command&) override { return {}; }
};

ErrorCode code_after(int exit_code) {
  ScriptedRunner runner;
  runner.expect({"/sbin/e2fsck", "-p", "/dev/x"},
                {.exit_code = exit_code, .out = "findings", .err = "trouble"});
  try {
    Filesystem(runner).check("/dev/x", "ext4", "look at it by X");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("findings; trouble") != std::string::npos);
    CHECK(std::string(error.what()).ends_with("look at it by X") == (exit_code < 16));
    return error.code();
  }
  return ErrorCode::AlreadyExists;
}

}  // namespace

TEST_CASE("a check that mended something is a success, one that could not is a conflict") {
  for (const int fine : {0, 1, 2, 3}) CHECK(code_after(fine) == ErrorCode::AlreadyExists);
  for (const int bad : {4, 5, 8, 12}) CHECK(code_after(bad) == ErrorCode::Conflict);
  for (const int other : {16, 128, 137}) CHECK(code_after(other) == ErrorCode::Internal);
}

TEST_CASE("nothing is run to check an xfs") {
  ScriptedRunner runner;
  Filesystem(runner).check("/dev/x", "xfs", "");
  CHECK(runner.calls().empty());
}

TEST_CASE("an mkfs that fails says why") {
  const TemporaryDirectory directory;
  const std::string image = (directory.path() / "image").string();
  plexvol::support::make_sparse_file(image, 16U << 20U);
  plexvol::process::BoostRunner runner;
  try {
    Filesystem(runner).make({.device = image, .type = "xfs", .uuid = kUuid, .options = {}});
    FAIL("an xfs of 16 MiB was made");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Internal);
    CHECK(std::string(error.what()).find("mkfs.xfs") == 0);
  }
}

TEST_CASE("a sound ext4 passes the check, a ruined one is a conflict with the tool's words") {
  const TemporaryDirectory directory;
  const std::string image = (directory.path() / "image").string();
  plexvol::support::make_sparse_file(image, 32U << 20U);
  plexvol::process::BoostRunner runner;
  Filesystem filesystem(runner);
  filesystem.make({.device = image, .type = "ext4", .uuid = kUuid, .options = {}});
  filesystem.check(image, "ext4", "");

  std::fstream file(image, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(1024);
  file << std::string(1024, 'x');
  file.close();
  try {
    filesystem.check(image, "ext4", "look at it by X");
    FAIL("it passed");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Conflict);
    CHECK(std::string(error.what()).find("Bad magic number") != std::string::npos);
    CHECK(std::string(error.what()).ends_with("; look at it by X"));
  }
}

TEST_CASE("an mkfs that ends well and makes nothing is an error [D16]") {
  const TemporaryDirectory directory;
  const std::string image = (directory.path() / "image").string();
  plexvol::support::make_sparse_file(image, 320U << 20U);
  plexvol::process::BoostRunner tools;
  for (const std::string type : {"ext4", "xfs"}) {
    CAPTURE(type);
    DoesNothing runner;
    const auto message_of = [&](const std::string& uuid) {
      try {
        Filesystem(runner).make({.device = image, .type = type, .uuid = uuid, .options = {}});
      } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::Internal);
        return std::string(error.what());
      }
      return std::string("it did not throw");
    };
    CHECK(message_of(kUuid).find(" reported success, but " + image + " now holds ") !=
          std::string::npos);
    Filesystem(tools).make({.device = image, .type = type, .uuid = kUuid, .options = {}});
    CHECK(message_of(kUuid) == "it did not throw");
    // An older one is still there.
    CHECK(message_of("11111111-89ab-cdef-0123-456789abcdef").find(" instead of the new") !=
          std::string::npos);
  }
}

TEST_CASE("an e2fsck that is older than a sound file system is no obstacle [D11]") {
  const TemporaryDirectory directory;
  const std::string image = (directory.path() / "image").string();
  plexvol::support::make_sparse_file(image, 32U << 20U);
  plexvol::process::BoostRunner runner;
  Filesystem filesystem(runner);
  filesystem.make({.device = image, .type = "ext4", .uuid = kUuid, .options = {}});
  const auto debugfs = [&](const std::string& request) {
    plexvol::process::run_checked(
        runner, {.argv = {"/sbin/debugfs", "-w", "-R", request, image}, .input = {}});
  };
  // One that only newer tools know, as far as this e2fsck is concerned.
  debugfs("feature FEATURE_C31");
  CHECK(runner.run({.argv = {"/sbin/e2fsck", "-p", image}, .input = {}}).exit_code >= 8);
  filesystem.check(image, "ext4", "");

  debugfs("set_super_value state 2");
  try {
    filesystem.check(image, "ext4", "");
    FAIL("it passed");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Unsupported);
    CHECK(std::string(error.what()).find("records errors, and this node's e2fsck is older") !=
          std::string::npos);
    CHECK(std::string(error.what()).find("FEATURE_C31") != std::string::npos);
  }
}

TEST_CASE("features that the oldest of the kernels does not know are left out [D13]") {
  const TemporaryDirectory directory;
  const std::string image = (directory.path() / "image").string();
  plexvol::support::make_sparse_file(image, 320U << 20U);
  plexvol::process::BoostRunner runner;
  const auto is_bigtime = [&](const std::vector<std::string>& kernels) {
    Filesystem(runner).make(
        {.device = image, .type = "xfs", .uuid = kUuid, .options = {}, .kernels = kernels});
    const auto output = plexvol::process::run_checked(
        runner, {.argv = {"/sbin/xfs_db", "-r", "-c", "version", image}, .input = {}});
    return output.out.find("BIGTIME") != std::string::npos;
  };
  CHECK(is_bigtime({}));
  CHECK(is_bigtime({"6.1.0"}));
  CHECK_FALSE(is_bigtime({"6.1.0", "4.15.0-213-generic", "5.15.0"}));
}

TEST_CASE("mkfs says beforehand what it would not take, and nothing is written [O6]") {
  plexvol::process::BoostRunner runner;
  Filesystem filesystem(runner);
  struct Case {
    const char* type;
    std::vector<std::string> good;
    std::vector<std::string> bad;
    const char* words;
  };
  const Case cases[] = {{"ext4", {"-I", "256"}, {"-I", "100"}, "invalid inode size 100"},
                        {"xfs", {"-i", "size=512"}, {"-i", "size=100"}, "Value is too small"}};
  for (const Case& test : cases) {
    for (const std::uint64_t size : {std::uint64_t{320} << 20U, std::uint64_t{8} << 40U}) {
      filesystem.try_make({.device = "", .type = test.type, .uuid = kUuid, .options = test.good},
                          size);
      try {
        filesystem.try_make({.device = "", .type = test.type, .uuid = kUuid, .options = test.bad},
                            size);
        FAIL("taken");
      } catch (const Error& error) {
        const std::string message = error.what();
        CHECK(error.code() == ErrorCode::InvalidArgument);
        CHECK(message.find(test.words) != std::string::npos);
        CHECK(message.find("Usage") == std::string::npos);
      }
    }
  }
}
