#include "agent/volumes/wanted.h"

#include <sstream>
#include <vector>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/filesystem/mkfs_options.h"

namespace plexvol::volumes {

namespace {

// Blanks between them do not matter.
std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

}  // namespace

bool take_on(const Wanted& wanted, model::Volume& volume) {
  bool changed = false;
  if (volume.format != model::Format::Done && !wanted.mkfs_options.empty() &&
      words_of(wanted.mkfs_options) != words_of(volume.mkfs_options)) {
    filesystem::parse_mkfs_options(volume.fs_type, wanted.mkfs_options);
    volume.mkfs_options = wanted.mkfs_options;
    changed = true;
  }
  const unsigned asked = wanted.replicas.value_or(volume.copies_asked);
  const unsigned unmet = asked > volume.wanted_copies() ? asked : 0;
  changed = changed || volume.copies_asked != unmet;
  volume.copies_asked = unmet;
  return changed;
}

std::string describe_unmet(const Wanted& wanted, const model::Volume& volume) {
  std::string text;
  const unsigned copies = volume.wanted_copies();
  if (wanted.replicas && *wanted.replicas > copies) {
    text = "volume " + volume.name + " has " + std::to_string(copies) + " copy, and " +
           std::to_string(*wanted.replicas) +
           " replicas are asked for: a copy cannot be added in this version; make a new volume "
           "with replicas " +
           std::to_string(*wanted.replicas) + " and copy the data";
  }
  if (volume.format == model::Format::Done && !wanted.mkfs_options.empty() &&
      words_of(wanted.mkfs_options) != words_of(volume.mkfs_options)) {
    text += (text.empty() ? "" : "; ") + std::string("volume ") + volume.name +
            " was formatted with mkfsOptions " + in_quotes(volume.mkfs_options) + ", so " +
            in_quotes(wanted.mkfs_options) + " changes nothing";
  }
  return text;
}

void check_same_volume(const Wanted& wanted, const model::Volume& volume) {
  const auto differs = [&](const std::string& what, const std::string& has,
                           const std::string& asks) {
    throw Error(ErrorCode::InvalidArgument,
                "volume " + volume.name + " exists with " + what + " " + has + ", but " + asks +
                    " is asked for" + "; if another volume of the same name is meant, rename one");
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
