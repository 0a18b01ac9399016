#include "agent/filesystem/probe.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/process/child.h"
#include "agent/process/holders.h"

namespace plexvol::filesystem {

namespace {

constexpr std::uint64_t kEndBytes = 1U << 20U;

struct Range {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct FreeProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using BlkidProbe = std::unique_ptr<std::remove_pointer_t<blkid_probe>, FreeProbe>;

Probe unknown(const std::string& detail) {
  return {.content = Content::Unknown, .type = "", .uuid = "", .detail = detail};
}

std::uint64_t size_of(int file) {
  struct stat status {};
  if (fstat(file, &status) != 0) return 0;
  if (S_ISREG(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
  std::uint64_t size = 0;
  return ioctl(file, BLKGETSIZE64, &size) == 0 ? size : 0;
}

// The first and the last MiB, or all of a small device.
std::vector<Range> ends_of(std::uint64_t size) {
  if (size <= 2 * kEndBytes) return {{.offset = 0, .length = size}};
  return {{.offset = 0, .length = kEndBytes}, {.offset = size - kEndBytes, .length = kEndBytes}};
}

enum class Ends { Zero, Data, ReadError };

Ends read_ends(int file, std::uint64_t size, std::string& detail) {
  std::vector<char> buffer(65536);
  bool zero = true;
  for (const Range& range : ends_of(size)) {
    for (std::uint64_t done = 0; done < range.length;) {
      const std::uint64_t wanted = std::min<std::uint64_t>(buffer.size(), range.length - done);
      const ssize_t count =
          pread(file, buffer.data(), wanted, static_cast<off_t>(range.offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        detail = fmt::format("read error at offset {}: {}", range.offset + done,
                             count == 0 ? "the device ends there" : base::error_text(errno));
        return Ends::ReadError;
      }
      const auto end = buffer.begin() + count;
      const auto found = std::find_if(buffer.begin(), end, [](char byte) { return byte != 0; });
      if (found != end && zero) {
        zero = false;
        detail =
            fmt::format("data at offset {}, without a known signature",
                        range.offset + done + static_cast<std::uint64_t>(found - buffer.begin()));
      }
      done += static_cast<std::uint64_t>(count);
    }
  }
  return zero ? Ends::Zero : Ends::Data;
}

std::string value_of(blkid_probe prober, const char* name) {
  const char* value = nullptr;
  if (blkid_probe_lookup_value(prober, name, &value, nullptr) != 0 || value == nullptr) return "";
  return value;
}

Probe known(blkid_probe prober) {
  Probe result{
      .content = Content::Known, .type = value_of(prober, "TYPE"), .uuid = "", .detail = ""};
  const std::string table = value_of(prober, "PTTYPE");
  if (result.type.empty()) result.type = table;
  if (result.type.empty()) return unknown("libblkid found a signature that it has no name for");
  if (value_of(prober, "SBBADCSUM") == "1") {
    return unknown(fmt::format("a superblock of {} with a wrong checksum", result.type));
  }
  result.uuid = value_of(prober, result.type == table ? "PTUUID" : "UUID");
  std::transform(result.uuid.begin(), result.uuid.end(), result.uuid.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  result.detail = result.type;
  if (result.type == table) result.detail += " partition table";
  const std::string label = value_of(prober, "LABEL");
  if (!label.empty()) result.detail += fmt::format(" (label {})", in_quotes(label));
  return result;
}

BlkidProbe make_prober(int file, const std::string& device) {
  BlkidProbe prober(blkid_new_probe());
  const bool ready = prober && blkid_probe_set_device(prober.get(), file, 0, 0) == 0 &&
                     blkid_probe_enable_superblocks(prober.get(), 1) == 0 &&
                     blkid_probe_set_superblocks_flags(
                         prober.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL |
                                           BLKID_SUBLKS_BADCSUM) == 0 &&
                     blkid_probe_enable_partitions(prober.get(), 1) == 0;
  if (!ready) throw Error(ErrorCode::Internal, "libblkid cannot be set up for " + device);
  return prober;
}

// Only for the superblock of this type, in place of make_prober()'s settings.
bool ask_only_for(blkid_probe prober, const std::string& fs_type) {
  std::array<char*, 5> names{};
  std::vector<std::string> words{fs_type};
  if (fs_type == "ext4") words = {"ext2", "ext3", "ext4", "ext4dev"};
  for (std::size_t i = 0; i < words.size(); ++i) names[i] = words[i].data();
  return blkid_probe_enable_partitions(prober, 0) == 0 &&
         blkid_probe_filter_superblocks_type(prober, BLKID_FLTR_ONLYIN, names.data()) == 0;
}

// As probe_formatted_apart() says, in this process.
Probe probe_formatted(const std::string& device, const std::string& fs_type) {
  {
    const base::Descriptor file(open(device.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open() || size_of(file.get()) == 0) return probe(device);
    const BlkidProbe prober = make_prober(file.get(), device);
    if (!ask_only_for(prober.get(), fs_type)) {
      throw Error(ErrorCode::Internal, "libblkid cannot be set up for " + device);
    }
    if (blkid_do_safeprobe(prober.get()) == 0) {
      Probe found = known(prober.get());
      const bool is_of_family = fs_type == "ext4" && found.type.starts_with("ext");
      if (is_of_family) found.type = fs_type;
      return found;
    }
  }
  return probe(device);
}

}  // namespace

Probe probe(const std::string& device) {
  const base::Descriptor file(open(device.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    if (errno == ENOENT) throw Error(ErrorCode::NotFound, device + " does not exist");
    return unknown("cannot be opened: " + base::error_text(errno));
  }
  const std::uint64_t size = size_of(file.get());
  if (size == 0) return unknown("has no size");
  // Read first: libblkid takes some read errors for "nothing there".
  std::string detail;
  const Ends ends = read_ends(file.get(), size, detail);
  if (ends == Ends::ReadError) return unknown(detail);
  const BlkidProbe prober = make_prober(file.get(), device);
  switch (blkid_do_safeprobe(prober.get())) {
    case 0:
      return known(prober.get());
    case 1:
      if (ends == Ends::Data) return unknown(detail);
      return {.content = Content::Empty, .type = "", .uuid = "", .detail = "empty"};
    case -2:
      return unknown("signatures of more than one kind");
    default:
      return unknown("libblkid could not read it");
  }
}

namespace {

// What the child leaves for us, in memory that both have.
struct Findings {
  Content content;
  ErrorCode error;
  bool failed;
  std::array<char, 64> type;
  std::array<char, 64> uuid;
  std::array<char, 512> detail;
};

template <std::size_t N>
void copy(const std::string& text, std::array<char, N>& to) {
  text.copy(to.data(), N - 1);  // zeros were there
}

}  // namespace

namespace {

// Runs `work` in a child. More than system calls, in the child of a program with threads: glibc's
// allocator stands that, and libblkid has nothing else that a fork could leave locked.
Findings run_apart(const std::string& doing, const std::function<void(Findings&)>& work,
                   std::chrono::seconds limit) {
  void* memory =
      mmap(nullptr, sizeof(Findings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw Error(ErrorCode::Internal, "no memory for " + doing);
  const auto unmap = [](void* shared) { munmap(shared, sizeof(Findings)); };
  const std::unique_ptr<void, decltype(unmap)> owner(memory, unmap);
  auto* findings = static_cast<Findings*>(memory);
  const auto ended = process::run_in_child(
      [&] {
        try {
          work(*findings);
        } catch (const Error& error) {
          findings->failed = true;
          findings->error = error.code();
          copy(error.what(), findings->detail);
        } catch (const std::exception&) {
          return 1;
        }
        return 0;
      },
      limit, doing);
  if (!ended) {
    throw Error(ErrorCode::Unavailable,
                doing + " timed out, most likely because the device is frozen");
  }
  if (*ended != 0) throw Error(ErrorCode::Internal, doing + " failed unexpectedly");
  if (findings->failed) throw Error(findings->error, findings->detail.data());
  return *findings;
}

void wipe(const std::string& device) {
  // Exclusively: what is mounted, or part of something else, is never wiped.
  const base::Descriptor file(open(device.c_str(), O_WRONLY | O_EXCL | O_CLOEXEC));
  if (!file.is_open()) {
    const int number = errno;
    if (number == EBUSY) {
      throw Error(ErrorCode::Conflict, fmt::format("cannot wipe {}: it is in use by: {}", device,
                                                   process::holders_to_text(device)));
    }
    throw Error(number == ENOENT ? ErrorCode::NotFound : ErrorCode::Internal,
                fmt::format("cannot open {} to wipe it: {}", device, base::error_text(number)));
  }
  const std::vector<char> zeros(kEndBytes);
  for (const Range& range : ends_of(size_of(file.get()))) {
    for (std::uint64_t done = 0; done < range.length;) {
      const std::uint64_t wanted = std::min<std::uint64_t>(zeros.size(), range.length - done);
      const ssize_t count =
          pwrite(file.get(), zeros.data(), wanted, static_cast<off_t>(range.offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        throw Error(ErrorCode::Internal, fmt::format("cannot wipe {} at offset {}: {}", device,
                                                     range.offset + done, base::error_text(errno)));
      }
      done += static_cast<std::uint64_t>(count);
    }
  }
  if (fsync(file.get()) != 0) {
    throw Error(ErrorCode::Internal,
                fmt::format("cannot sync {}: {}", device, base::error_text(errno)));
  }
}

}  // namespace

namespace {

Probe look_apart(const std::string& device, const std::function<Probe()>& look) {
  constexpr std::chrono::seconds kLimit{20};
  const Findings findings = run_apart(
      "reading " + device,
      [&](Findings& left) {
        const Probe seen = look();
        left.content = seen.content;
        copy(seen.type, left.type);
        copy(seen.uuid, left.uuid);
        copy(seen.detail, left.detail);
      },
      kLimit);
  return {.content = findings.content,
          .type = findings.type.data(),
          .uuid = findings.uuid.data(),
          .detail = findings.detail.data()};
}

}  // namespace

Probe probe_apart(const std::string& device) {
  return look_apart(device, [&] { return probe(device); });
}

Probe probe_formatted_apart(const std::string& device, const std::string& fs_type) {
  return look_apart(device, [&] { return probe_formatted(device, fs_type); });
}

void wipe_ends(const std::string& device) {
  // Long enough for a slow disk to sync 2 MiB.
  constexpr std::chrono::seconds kLimit{60};
  // In a child also since the device is opened exclusively: a tool that another thread starts has
  // all that is open here from its fork to its exec, and mkfs would find the device in use.
  run_apart(
      "wiping " + device, [&](Findings&) { wipe(device); }, kLimit);
}

}  // namespace plexvol::filesystem
