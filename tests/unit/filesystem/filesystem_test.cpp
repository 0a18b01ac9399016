#include "agent/filesystem/filesystem.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include "agent/api/error.h"
#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/scripted_runner.h"
#include "tests/support/temporary_directory.h"

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::filesystem::Filesystem;
using plexvol::support::ScriptedRunner;
using plexvol::support::TemporaryDirectory;

namespace {

constexpr const char* kUuid = "01234567-89ab-cdef-0123-456789abcdef";

ErrorCode code_after(int exit_code) {
  ScriptedRunner runner;
  runner.expect({"/sbin/e2fsck", "-p", "/dev/x"},
                {.exit_code = exit_code, .out = "findings", .err = "trouble"});
  try {
    Filesystem(runner).check("/dev/x", "ext4");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("findings; trouble") != std::string::npos);
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
  Filesystem(runner).check("/dev/x", "xfs");
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
  filesystem.check(image, "ext4");

  std::fstream file(image, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(1024);
  file << std::string(1024, 'x');
  file.close();
  try {
    filesystem.check(image, "ext4");
    FAIL("it passed");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Conflict);
    CHECK(std::string(error.what()).find("Bad magic number") != std::string::npos);
  }
}
