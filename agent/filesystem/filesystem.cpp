#include "agent/filesystem/filesystem.h"

#include <sys/utsname.h>

#include <chrono>

#include "agent/api/error.h"
#include "agent/filesystem/mkfs_options.h"

namespace plexvol::filesystem {

namespace {

constexpr const char* kE2fsck = "/sbin/e2fsck";

// They write through the page cache and then wait in one fsync, which no counter of theirs shows;
// behind a slow network and a slow disk that takes its time.
constexpr std::chrono::minutes kStallLimit{10};

// e2fsck(8): 1 errors corrected, 2 corrected and reboot (meant for mounted ones), 4 left
// uncorrected, 8 operational error, 16 and more: called wrongly, ended, no library.
constexpr int kLeftUncorrected = 4;
constexpr int kCalledWrongly = 16;

}  // namespace

Filesystem::Filesystem(process::Runner& runner) : runner_(runner) {}

void Filesystem::make(const NewFilesystem& wanted) {
  utsname names{};
  uname(&names);
  process::run_checked(
      runner_,
      {.argv = mkfs_command(wanted, names.release), .input = {}, .stall_limit = kStallLimit});
}

void Filesystem::check(const std::string& device, const std::string& type) {
  if (type != "ext4" && type != "ext3" && type != "ext2") return;
  const process::Output output =
      runner_.run({.argv = {kE2fsck, "-p", device}, .input = {}, .stall_limit = kStallLimit});
  if (output.exit_code < kLeftUncorrected) return;
  // Its findings are on stdout, what it could not do on stderr.
  const std::string words = process::said(
      {.exit_code = output.exit_code, .out = {}, .err = output.out + "\n" + output.err});
  const bool look_needed = output.exit_code < kCalledWrongly;
  throw Error(look_needed ? ErrorCode::Conflict : ErrorCode::Internal,
              "the file system on " + device + " (" + type +
                  ") cannot be used as it is: e2fsck -p "
                  "ended with " +
                  std::to_string(output.exit_code) + ": " + words +
                  (look_needed ? "; look at it with: e2fsck -n " + device : ""));
}

}  // namespace plexvol::filesystem
