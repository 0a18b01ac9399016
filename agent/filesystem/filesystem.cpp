#include "agent/filesystem/filesystem.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/filesystem/features.h"
#include "agent/filesystem/mkfs_options.h"
#include "agent/filesystem/probe.h"
#include "agent/process/proc.h"

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

// Of ext4's superblock: whether it records errors, as e2fsck and the kernel note them. nullopt: it
// cannot be read. e2fsck has just read the same block, so the device answers.
std::optional<bool> has_recorded_errors(const std::string& device) {
  constexpr off_t kMagicOffset = 1024 + 0x38;  // s_magic, and s_state behind it
  constexpr unsigned kErrorState = 2;
  const base::Descriptor file(open(device.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<unsigned char, 4> bytes{};
  if (!file.is_open() || pread(file.get(), bytes.data(), bytes.size(), kMagicOffset) !=
                             static_cast<ssize_t>(bytes.size())) {
    return std::nullopt;
  }
  if (bytes[0] != 0x53 || bytes[1] != 0xef) return std::nullopt;
  return (bytes[2] & kErrorState) != 0;
}

}  // namespace

std::string kernel_release() {
  utsname names{};
  uname(&names);
  return names.release;
}

Filesystem::Filesystem(process::Runner& runner) : runner_(runner) {}

void Filesystem::make(const NewFilesystem& wanted) {
  std::vector<std::string> kernels = wanted.kernels;
  kernels.push_back(kernel_release());
  const process::Command command{.argv = mkfs_command(wanted, find_oldest_kernel(kernels)),
                                 .input = {},
                                 .stall_limit = kStallLimit,
                                 .subject = wanted.device};
  const process::Output output = process::run_checked(runner_, command);
  const Probe made = probe_formatted_apart(wanted.device, wanted.type);
  if (made.content == Content::Known && made.type == wanted.type && made.uuid == wanted.uuid) {
    return;
  }
  throw Error(
      ErrorCode::Internal,
      fmt::format("{} reported success, but {} now holds {} instead of the new file system; "
                  "it said: {}",
                  process::to_text(command), wanted.device, made.detail, process::said(output)));
}

void Filesystem::try_make(const NewFilesystem& wanted, std::uint64_t size_bytes) {
  // As large as the volume, and without a page of memory: mkfs only asks how large it is.
  const base::Descriptor file(::memfd_create("plexvol-mkfs", MFD_CLOEXEC));
  if (file.get() < 0 || ::ftruncate(file.get(), static_cast<off_t>(size_bytes)) != 0) {
    throw Error(ErrorCode::Internal, "cannot test the mkfs options: " + base::error_text(errno));
  }
  NewFilesystem dry = wanted;
  dry.device = process::path_of(::getpid(), fmt::format("fd/{}", file.get()));
  std::vector<std::string> argv = mkfs_command(dry, kernel_release());
  argv.insert(argv.begin() + 1, wanted.type == "xfs" ? "-N" : "-n");
  const process::Output output =
      runner_.run({.argv = argv, .input = {}, .stall_limit = kStallLimit});
  if (output.exit_code == 0) return;
  // mkfs.xfs adds all that it knows.
  std::string words = process::said(output);
  words.resize(std::min(words.find("; Usage:"), words.size()));
  throw Error(ErrorCode::InvalidArgument,
              fmt::format("mkfs.{} does not take these mkfsOptions: {}", wanted.type, words));
}

void Filesystem::check(const std::string& device, const std::string& type,
                       const std::string& how_to_look) {
  if (type != "ext4" && type != "ext3" && type != "ext2") return;
  const process::Output output = runner_.run({.argv = {kE2fsck, "-p", device},
                                              .input = {},
                                              .stall_limit = kStallLimit,
                                              .subject = device});
  if (output.exit_code < kLeftUncorrected) return;
  // Its findings are on stdout, what it could not do on stderr.
  const std::string words = process::said(
      {.exit_code = output.exit_code, .out = {}, .err = output.out + "\n" + output.err});
  if (output.exit_code < kCalledWrongly && words.find("unsupported feature") != std::string::npos) {
    if (has_recorded_errors(device) == false) return;
    throw Error(
        ErrorCode::Unsupported,
        fmt::format("the file system on {} records errors, and this node's e2fsck is older "
                    "than the file system and cannot repair it: {}; install a newer e2fsprogs "
                    "on this node (or in the agent's image)",
                    device, words));
  }
  const bool look_needed = output.exit_code < kCalledWrongly;
  throw Error(
      look_needed ? ErrorCode::Conflict : ErrorCode::Internal,
      fmt::format("the file system on {} ({}) cannot be used as it is: e2fsck -p: exit code {}: "
                  "{}{}",
                  device, type, output.exit_code, words, look_needed ? "; " + how_to_look : ""));
}

}  // namespace plexvol::filesystem
