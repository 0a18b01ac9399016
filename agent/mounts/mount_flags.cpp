#include "agent/mounts/mount_flags.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/api/error.h"
#include "agent/api/text.h"

namespace plexvol::mounts {

namespace {

// <sys/mount.h> has it since glibc 2.34 only under some conditions.
constexpr unsigned long kLazyTime = 1UL << 25U;
constexpr unsigned long kIVersion = 1UL << 23U;

struct Word {
  std::string_view text;
  unsigned long flag;
  bool on;
};
constexpr std::array kWords{
    Word{"rw", 0, true},
    Word{"ro", 0, true},
    Word{"noatime", MS_NOATIME, true},
    Word{"atime", MS_NOATIME, false},
    Word{"relatime", MS_RELATIME, true},
    Word{"norelatime", MS_RELATIME, false},
    Word{"strictatime", MS_STRICTATIME, true},
    Word{"nostrictatime", MS_STRICTATIME, false},
    Word{"nodiratime", MS_NODIRATIME, true},
    Word{"diratime", MS_NODIRATIME, false},
    Word{"nodev", MS_NODEV, true},
    Word{"dev", MS_NODEV, false},
    Word{"nosuid", MS_NOSUID, true},
    Word{"suid", MS_NOSUID, false},
    Word{"noexec", MS_NOEXEC, true},
    Word{"exec", MS_NOEXEC, false},
    Word{"sync", MS_SYNCHRONOUS, true},
    Word{"async", MS_SYNCHRONOUS, false},
    Word{"dirsync", MS_DIRSYNC, true},
    Word{"mand", MS_MANDLOCK, true},
    Word{"nomand", MS_MANDLOCK, false},
    Word{"silent", MS_SILENT, true},
    Word{"loud", MS_SILENT, false},
    Word{"lazytime", kLazyTime, true},
    Word{"nolazytime", kLazyTime, false},
    Word{"iversion", kIVersion, true},
    Word{"noiversion", kIVersion, false},
};

constexpr unsigned long kOfMountPoint =
    MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;

}  // namespace

MountFlags parse_mount_flags(const std::vector<std::string>& words) {
  MountFlags flags;
  for (const std::string& word : words) {
    const auto* known = std::find_if(kWords.begin(), kWords.end(),
                                     [&word](const Word& entry) { return entry.text == word; });
    if (known == kWords.end()) {
      throw Error(ErrorCode::Unsupported, "mount flag " + in_quotes(word) +
                                              " is not known to this plexvol: is the agent newer?");
    }
    flags.all = known->on ? flags.all | known->flag : flags.all & ~known->flag;
    if (word == "ro") flags.read_only = true;
    if (word == "rw") flags.read_only = false;
  }
  flags.of_mount_point = flags.all & kOfMountPoint;
  return flags;
}

}  // namespace plexvol::mounts
