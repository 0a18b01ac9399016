#include "agent/filesystem/mkfs_options.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <sstream>
#include <string_view>
#include <utility>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/text.h"
#include "agent/filesystem/features.h"
#include "agent/filesystem/filesystem.h"

namespace plexvol::filesystem {

namespace {

// What may stand behind a letter. `keys`: the words of a comma list, blank separated; "" any single
// plain value.
struct Rule {
  const char* fs_type;
  char letter;
  bool has_value;
  const char* keys;
};

// What tunes the file system itself. Left out on purpose: paths and other devices (-d of mke2fs, -J
// device, -l logdev, -r, -p, -c options), force and dry run, the UUID (it marks our own unfinished
// mkfs), labels (whoever makes pods could label a device of the node as the host's root), sizes of
// the file system (the device's is the volume's), sizes of sectors (the other copy's disk may have
// larger ones), and what needs a device or a service beside it (rtinherit, mmp).
constexpr Rule kRules[] = {
    {"ext4", 'b', true, ""},
    {"ext4", 'C', true, ""},
    {"ext4", 'E', true,
     "stride stripe_width stripe-width lazy_itable_init lazy_journal_init packed_meta_blocks "
     "num_backup_sb resize discard nodiscard root_owner quotatype"},
    {"ext4", 'g', true, ""},
    {"ext4", 'G', true, ""},
    {"ext4", 'i', true, ""},
    {"ext4", 'I', true, ""},
    {"ext4", 'J', true, "size fast_commit_size"},
    {"ext4", 'm', true, ""},
    {"ext4", 'N', true, ""},
    {"ext4", 'O', true,
     "64bit bigalloc casefold dir_index dir_nlink encrypt ext_attr extent extra_isize fast_commit "
     "filetype flex_bg has_journal huge_file inline_data large_dir large_file metadata_csum "
     "metadata_csum_seed orphan_file project quota resize_inode sparse_super sparse_super2 "
     "stable_inodes uninit_bg verity"},
    {"ext4", 'q', false, ""},
    {"ext4", 'T', true, ""},
    {"xfs", 'b', true, "size"},
    {"xfs", 'd', true,
     "agcount agsize su sw sunit swidth noalign extszinherit projinherit cowextsize"},
    {"xfs", 'i', true, "size perblock maxpct align attr projid32bit sparse nrext64"},
    {"xfs", 'K', false, ""},
    {"xfs", 'l', true, "size su sunit version lazy-count agnum"},
    {"xfs", 'm', true, "crc finobt rmapbt reflink bigtime inobtcount"},
    {"xfs", 'n', true, "size version ftype"},
    {"xfs", 'q', false, ""},
};

// Blocks of another size cannot be mounted by every node: smaller ones not where a disk has sectors
// of 4 KiB, larger ones not by most kernels.
constexpr const char* kBlockSize = "4096";

[[noreturn]] void throw_refused(const std::string& fs_type, const std::string& word,
                                const std::string& why) {
  throw Error(ErrorCode::InvalidArgument,
              fmt::format("mkfsOptions for {}: {} {}", fs_type, in_quotes(word), why));
}

void check_type(const std::string& fs_type) {
  if (fs_type == "ext4" || fs_type == "xfs") return;
  throw Error(
      ErrorCode::Unsupported,
      fmt::format("file system type {} is not supported; use ext4 or xfs", in_quotes(fs_type)));
}

std::string key_of(const std::string& item) {
  const std::size_t first = item.starts_with('^') ? 1 : 0;
  const std::size_t end = item.find('=');
  return item.substr(first, end == std::string::npos ? end : end - first);
}

void check_value(const std::string& fs_type, const Rule& rule, const std::string& value) {
  // No slash: nothing here is a path.
  static constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:,=^-+";
  if (value.empty() || value.front() == '-' ||
      value.find_first_not_of(kAllowed) != std::string::npos) {
    throw_refused(fs_type, value, fmt::format("is not a valid value of -{}", rule.letter));
  }
  if (rule.letter == 'b' && value.substr(value.find('=') + 1) != kBlockSize) {
    throw_refused(
        fs_type, value,
        "is not a supported block size: only 4096, the default, can be mounted by every node");
  }
  if (*rule.keys == '\0') return;
  for (const std::string& item : base::split(value, ',')) {
    if (base::contains_word(rule.keys, key_of(item))) continue;
    throw_refused(fs_type, item,
                  fmt::format("is not allowed in -{}; allowed are: {}", rule.letter, rule.keys));
  }
}

const Rule& find_rule(const std::string& fs_type, const std::string& word) {
  std::string letters;
  for (const Rule& rule : kRules) {
    if (fs_type != rule.fs_type) continue;
    if (word.size() >= 2 && word[0] == '-' && word[1] == rule.letter) return rule;
    letters += fmt::format(" -{}", rule.letter);
  }
  throw_refused(fs_type, word, "is not allowed; allowed are:" + letters);
}

// Options in the order given, each letter once; the items of a comma list are joined, and a user's
// item takes the place of ours with the same key (mke2fs takes the last list only, mkfs.xfs refuses
// a key that comes twice).
class Arguments {
 public:
  void set(const std::string& letter, const std::string& value) {
    for (auto& [known, former] : options_) {
      if (known == letter) {
        former = value;
        return;
      }
    }
    options_.emplace_back(letter, value);
  }

  void add_items(const std::string& letter, const std::string& items) {
    const auto found = std::find_if(options_.begin(), options_.end(),
                                    [&](const auto& option) { return option.first == letter; });
    if (found == options_.end()) {
      options_.emplace_back(letter, items);
      return;
    }
    std::string joined;
    const std::vector<std::string> added = base::split(items, ',');
    for (const std::string& item : base::split(found->second, ',')) {
      const bool replaced = std::any_of(added.begin(), added.end(), [&](const std::string& other) {
        return key_of(other) == key_of(item);
      });
      if (!replaced) joined += item + ",";
    }
    found->second = joined + items;
  }

  std::vector<std::string> to_words() const {
    std::vector<std::string> words;
    for (const auto& [letter, value] : options_) {
      words.push_back(letter);
      if (!value.empty()) words.push_back(value);
    }
    return words;
  }

 private:
  std::vector<std::pair<std::string, std::string>> options_;
};

bool is_uuid(const std::string& text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    if (hyphen ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) {
      return false;
    }
  }
  return true;
}

// Nothing is discarded: the device is new, and discarding all of a large one takes minutes on some
// disks. -m 0 as the kubelet does: nobody but pods writes there, so nothing is kept back for root.
Arguments defaults_of(const NewFilesystem& wanted) {
  Arguments arguments;
  arguments.set("-q", "");
  if (wanted.type == "ext4") {
    arguments.set("-F", "");
    arguments.set("-m", "0");
    arguments.set("-b", kBlockSize);
    arguments.set("-U", wanted.uuid);
    arguments.add_items("-E", "nodiscard");
  } else {
    arguments.set("-f", "");
    arguments.set("-K", "");
    arguments.add_items("-b", std::string("size=") + kBlockSize);
    // Of a disk with sectors of 512 bytes, mkfs would make what the other copy's disk with 4 KiB
    // cannot mount.
    arguments.add_items("-s", std::string("size=") + kBlockSize);
    arguments.add_items("-m", "uuid=" + wanted.uuid);
  }
  return arguments;
}

}  // namespace

std::vector<std::string> parse_mkfs_options(const std::string& fs_type, const std::string& text) {
  check_type(fs_type);
  std::vector<std::string> options;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const Rule& rule = find_rule(fs_type, word);
    const std::string letter = word.substr(0, 2);
    std::string value = word.substr(2);
    options.push_back(letter);
    if (!rule.has_value) {
      if (!value.empty()) throw_refused(fs_type, word, "takes no value");
      continue;
    }
    if (value.empty() && !(words >> value)) throw_refused(fs_type, word, "needs a value");
    check_value(fs_type, rule, value);
    options.push_back(value);
  }
  return options;
}

std::vector<std::string> mkfs_command(const NewFilesystem& wanted,
                                      const std::string& kernel_release) {
  check_type(wanted.type);
  if (!is_uuid(wanted.uuid)) {
    throw Error(ErrorCode::InvalidArgument, in_quotes(wanted.uuid) + " is not a UUID");
  }
  Arguments arguments = defaults_of(wanted);
  for (const auto& [letter, item] : features_to_leave_out(wanted.type, kernel_release)) {
    arguments.add_items(letter, item);
  }
  for (auto word = wanted.options.begin(); word != wanted.options.end(); ++word) {
    const Rule& rule = find_rule(wanted.type, *word);
    if (!rule.has_value) {
      arguments.set(*word, "");
      continue;
    }
    const std::string& letter = *word;
    if (++word == wanted.options.end()) throw_refused(wanted.type, letter, "needs a value");
    check_value(wanted.type, rule, *word);
    if (*rule.keys == '\0') {
      arguments.set(letter, *word);
    } else {
      arguments.add_items(letter, *word);
    }
  }
  std::vector<std::string> argv = {"/sbin/mkfs." + wanted.type};
  const std::vector<std::string> words = arguments.to_words();
  argv.insert(argv.end(), words.begin(), words.end());
  argv.push_back(wanted.device);
  return argv;
}

}  // namespace plexvol::filesystem
