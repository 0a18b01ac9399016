#include "agent/filesystem/mount_options.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/text.h"

namespace plexvol::filesystem {

namespace {

// Words that are flags of mount(2).
constexpr const char* kFlags =
    "ro rw noatime atime relatime norelatime strictatime nostrictatime nodiratime diratime "
    "lazytime nolazytime nodev dev nosuid suid noexec exec sync async dirsync iversion noiversion "
    "mand nomand silent loud";

// Words of fstab(5) that mean nothing to the kernel.
constexpr const char* kIgnored = "defaults _netdev nofail auto noauto";

// Options of ext4 and xfs that name no file or device outside of the file system. Those of both
// together: the kernel refuses what its file system does not know.
constexpr const char* kData =
    "acl noacl user_xattr nouser_xattr discard nodiscard barrier nobarrier data commit errors "
    "journal_checksum nojournal_checksum journal_async_commit delalloc nodelalloc max_batch_time "
    "min_batch_time stripe inode_readahead_blks auto_da_alloc noauto_da_alloc noinit_itable "
    "init_itable block_validity noblock_validity dioread_lock dioread_nolock i_version quota "
    "noquota usrquota grpquota prjquota grpid nogrpid bsdgroups sysvgroups resuid resgid "
    "max_dir_size_kb dax prefetch_block_bitmaps no_prefetch_block_bitmaps "
    "allocsize attr2 noattr2 filestreams ikeep noikeep inode32 inode64 largeio nolargeio logbufs "
    "logbsize noalign nouuid sunit swidth swalloc uquota uqnoenforce qnoenforce gquota "
    "gqnoenforce pquota pqnoenforce wsync "
    "context fscontext defcontext rootcontext";

// A journal that is not replayed: reading it gives old data, writing to it ruins it.
constexpr const char* kReadOnlyData = "noload norecovery";

[[noreturn]] void throw_refused(const std::string& word, const std::string& why) {
  throw Error(ErrorCode::InvalidArgument, fmt::format("mountOptions: {} {}", in_quotes(word), why));
}

// At commas outside of double quotes (an SELinux context may hold commas).
std::vector<std::string> split_options(const std::string& text) {
  std::vector<std::string> parts(1);
  bool quoted = false;
  for (const char character : text) {
    if (character == '"') quoted = !quoted;
    if (character == ',' && !quoted) {
      parts.emplace_back();
    } else {
      parts.back() += character;
    }
  }
  if (quoted) throw_refused(text, "has an unpaired double quote");
  std::erase(parts, "");
  return parts;
}

void check_data(const std::string& word, bool read_only) {
  static constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:+-";
  const std::size_t equals = word.find('=');
  const std::string key = word.substr(0, equals);
  std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
  if (base::contains_word(kReadOnlyData, key) && value.empty()) {
    if (!read_only) throw_refused(word, "is allowed only together with \"ro\"");
    return;
  }
  if (!base::contains_word(kData, key)) {
    throw_refused(word,
                  "is not allowed; allowed are flags of mount(2), and options of ext4 and xfs that "
                  "reach no other file or device");
  }
  const bool context = key.ends_with("context");
  if (context) std::erase_if(value, [](char c) { return c == '"' || c == ','; });
  if (value.find_first_not_of(kAllowed) != std::string::npos) {
    throw_refused(word, "has a value with characters that are not allowed");
  }
  if (key == "errors" && value == "panic") {
    throw_refused(word, "would stop the whole node after an error on one volume");
  }
}

}  // namespace

MountOptions parse_mount_options(const std::string& text) {
  MountOptions options;
  const std::vector<std::string> words = split_options(text);
  for (const std::string& word : words) {
    // The last one counts, as with mount(8).
    if (word == "ro" || word == "rw") options.read_only = word == "ro";
  }
  for (const std::string& word : words) {
    if (base::contains_word(kIgnored, word)) continue;
    if (base::contains_word(kFlags, word)) {
      options.flags.push_back(word);
      continue;
    }
    check_data(word, options.read_only);
    options.data += (options.data.empty() ? "" : ",") + word;
  }
  return options;
}

}  // namespace plexvol::filesystem
