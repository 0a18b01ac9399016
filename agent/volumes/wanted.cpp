#include "agent/volumes/wanted.h"

#include <fmt/core.h>

#include <sstream>
#include <vector>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/filesystem/mkfs_options.h"
#include "agent/volumes/new_volume.h"

namespace plexvol::volumes {

namespace {

// Blanks between them do not matter.
std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

// The same of one that is to lose its second copy.
bool ask_for_two(model::Volume& volume) {
  const unsigned unmet = volume.wanted_copies() > 1 ? 0 : 2;
  if (volume.copies_asked == unmet) return false;
  // A single copy that moves has two meanwhile, and keeps them.
  if (volume.copies_asked == 1) volume.leaving.clear();
  volume.copies_asked = unmet;
  return true;
}

}  // namespace

void check(const Wanted& wanted) {
  check_volume_name(wanted.volume);
  if (wanted.replicas) check_replicas(*wanted.replicas);
  if (!wanted.pool.empty()) check_pool_name(wanted.pool);
  if (!wanted.fs_type.empty()) check_fs_type(wanted.fs_type);
  if (!wanted.tenant.empty()) check_namespace(wanted.tenant);
}

bool take_on(const Wanted& wanted, model::Volume& volume) {
  bool changed = false;
  if (volume.format != model::Format::Done && !wanted.mkfs_options.empty() &&
      words_of(wanted.mkfs_options) != words_of(volume.mkfs_options)) {
    filesystem::parse_mkfs_options(volume.fs_type, wanted.mkfs_options);
    volume.mkfs_options = wanted.mkfs_options;
    changed = true;
  }
  // Never fewer: what a person has asked for since is not taken back by a manifest that is older.
  if (wanted.replicas.value_or(1) > 1) changed = ask_for_two(volume) || changed;
  return changed;
}

std::string describe_unmet(const Wanted& wanted, const model::Volume& volume) {
  std::string text;
  const unsigned copies = volume.wanted_copies();
  if (wanted.replicas && *wanted.replicas > copies) {
    text = fmt::format(
        "volume {} has {} replica, but {} are requested: the second one is made once the volume "
        "is not in use",
        volume.name, copies, *wanted.replicas);
  }
  if (volume.format == model::Format::Done && !wanted.mkfs_options.empty() &&
      words_of(wanted.mkfs_options) != words_of(volume.mkfs_options)) {
    text += fmt::format("{}volume {} was formatted with mkfsOptions {}; {} has no effect now",
                        text.empty() ? "" : "; ", volume.name, in_quotes(volume.mkfs_options),
                        in_quotes(wanted.mkfs_options));
  }
  return text;
}

void check_same_volume(const Wanted& wanted, const model::Volume& volume) {
  const auto differs = [&](const std::string& what, const std::string& has,
                           const std::string& asks) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("volume {} exists with {} {}, but {} is requested; if these are two "
                            "different volumes, rename one",
                            volume.name, what, has, asks));
  };
  if (wanted.size_bytes && *wanted.size_bytes > volume.size_bytes) {
    differs("size", size_to_text(volume.size_bytes), size_to_text(*wanted.size_bytes));
  }
  if (!wanted.fs_type.empty() && wanted.fs_type != volume.fs_type) {
    differs("file system", volume.fs_type, wanted.fs_type);
  }
  if (!wanted.pool.empty() && wanted.pool != volume.pool) differs("pool", volume.pool, wanted.pool);
}

}  // namespace plexvol::volumes
