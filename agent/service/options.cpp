#include "agent/service/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <sstream>
#include <string_view>

#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/filesystem/filesystem.h"

namespace plexvol::service {

namespace {

constexpr const char* kNameKey = "kubernetes.io/pvOrVolumeName";
constexpr std::string_view kKubernetes = "kubernetes.io/";

// volumeID and volumegroup are those of the FlexVolume documentation's LVM driver.
constexpr std::array<std::string_view, 10> kKnown{
    "volume",      "volumeID", "size",        "replicas",     "pool",
    "volumegroup", "fsType",   "mkfsOptions", "mountOptions", "readOnly"};

std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return lower;
}

// How many letters have to be put in, left out or changed (Levenshtein).
std::size_t distance(std::string_view from, std::string_view to) {
  // GCC 12 fears that a vector of a length it was given could be empty.
  std::vector<std::size_t> row{0};
  while (row.size() <= to.size()) row.push_back(row.size());
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t changed = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// The known option that this may be meant for; "" when none is near.
std::string_view find_near(const std::string& name) {
  constexpr std::size_t kLongest = 32;
  if (name.size() > kLongest) return "";
  const std::string lower = in_lower_case(name);
  std::string_view nearest;
  std::size_t least = std::max<std::size_t>(lower.size() / 3, 1) + 1;
  for (const std::string_view known : kKnown) {
    const std::size_t found = distance(lower, in_lower_case(known));
    if (found >= least) continue;
    least = found;
    nearest = known;
  }
  return nearest;
}

void refuse_unknown(const api::Options& options) {
  for (const auto& [name, value] : options) {
    if (name.starts_with(kKubernetes)) continue;
    if (std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end()) continue;
    const std::string_view near = find_near(name);
    std::string known;
    for (const std::string_view word : kKnown) {
      known.append(known.empty() ? "" : ", ").append(word);
    }
    throw Error(ErrorCode::InvalidArgument,
                "option " + in_quotes(name) + " is unknown" +
                    (near.empty() ? "" : "; did you mean " + in_quotes(near) + "?") +
                    " Known are: " + known);
  }
}

// The first of the keys that holds anything.
std::string pick(const api::Options& options, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto found = options.find(key);
    if (found != options.end() && !found->second.empty()) return found->second;
  }
  return "";
}

std::optional<unsigned> parse_replicas(const std::string& text) {
  if (text.empty()) return std::nullopt;
  unsigned replicas = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), replicas);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw Error(ErrorCode::InvalidArgument,
                "option replicas is \"" + text + "\": it must be a number, 1 or 2");
  }
  check_replicas(replicas);
  return replicas;
}

// Blanks between them do not matter.
std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

bool parse_flag(const std::string& name, const std::string& text) {
  if (text.empty() || text == "false") return false;
  if (text == "true") return true;
  throw Error(ErrorCode::InvalidArgument,
              "option " + name + " is \"" + text + "\": it must be \"true\" or \"false\"");
}

}  // namespace

std::string check_fs_type(const std::string& fs_type) {
  if (fs_type.empty()) return "ext4";
  if (fs_type == "ext4" || fs_type == "xfs") return fs_type;
  throw Error(ErrorCode::InvalidArgument,
              "file system type \"" + fs_type + "\" is not supported; use ext4 or xfs");
}

void check_replicas(unsigned replicas) {
  if (replicas == 1 || replicas == 2) return;
  throw Error(ErrorCode::InvalidArgument,
              std::to_string(replicas) + " replicas are not supported; use 1 or 2");
}

void check_fs_size(const std::string& fs_type, std::uint64_t size_bytes) {
  // mkfs.xfs refuses less since xfsprogs 5.19.
  constexpr std::uint64_t kSmallestXfs = 300ULL << 20;
  if (fs_type == "xfs" && size_bytes < kSmallestXfs) {
    throw Error(ErrorCode::InvalidArgument, "size " + size_to_text(size_bytes) +
                                                " is too small for xfs, which needs " +
                                                size_to_text(kSmallestXfs) + "; ext4 takes less");
  }
}

Wish parse_options(const api::Options& options, UnknownOptions unknown) {
  if (unknown == UnknownOptions::Refuse) refuse_unknown(options);
  Wish wish;
  wish.volume = pick(options, {"volume", "volumeID", kNameKey});
  if (wish.volume.empty()) {
    throw Error(
        ErrorCode::InvalidArgument,
        std::string("the options name no volume: neither volume, volumeID nor ") + kNameKey);
  }
  check_volume_name(wish.volume);
  wish.name = pick(options, {kNameKey});
  if (wish.name.empty()) wish.name = wish.volume;
  check_node_name(wish.name);  // Kubernetes names are of one kind: RFC 1123 subdomains
  if (const std::string size = pick(options, {"size"}); options.contains("size")) {
    wish.size_bytes = parse_size_bytes(size);
  }
  wish.replicas = parse_replicas(pick(options, {"replicas"}));
  wish.pool = pick(options, {"pool", "volumegroup"});
  if (!wish.pool.empty()) check_pool_name(wish.pool);
  wish.fs_type = pick(options, {"fsType", "kubernetes.io/fsType"});
  if (!wish.fs_type.empty()) check_fs_type(wish.fs_type);
  wish.mkfs_options = pick(options, {"mkfsOptions"});
  const auto mount_options = filesystem::parse_mount_options(pick(options, {"mountOptions"}));
  wish.mount_flags = mount_options.flags;
  wish.mount_data = mount_options.data;
  wish.read_only = mount_options.read_only || parse_flag("readOnly", pick(options, {"readOnly"})) ||
                   pick(options, {"kubernetes.io/readwrite"}) == "ro";
  wish.tenant = pick(options, {"kubernetes.io/pod.namespace"});
  if (!wish.tenant.empty()) check_namespace(wish.tenant);
  return wish;
}

bool adopt(const Wish& wish, model::Volume& volume) {
  bool changed = false;
  if (volume.format != model::Format::Done && !wish.mkfs_options.empty() &&
      words_of(wish.mkfs_options) != words_of(volume.mkfs_options)) {
    filesystem::parse_mkfs_options(volume.fs_type, wish.mkfs_options);
    volume.mkfs_options = wish.mkfs_options;
    changed = true;
  }
  const unsigned asked = wish.replicas.value_or(volume.copies_asked);
  const unsigned unmet = asked > volume.wanted_copies() ? asked : 0;
  changed = changed || volume.copies_asked != unmet;
  volume.copies_asked = unmet;
  return changed;
}

std::string describe_unmet(const Wish& wish, const model::Volume& volume) {
  std::string text;
  const unsigned copies = volume.wanted_copies();
  if (wish.replicas && *wish.replicas > copies) {
    text = "volume " + volume.name + " has " + std::to_string(copies) +
           " copy, and the options ask for " + std::to_string(*wish.replicas) +
           " replicas: a copy cannot be added in this version; make a new volume with replicas " +
           std::to_string(*wish.replicas) + " and copy the data";
  }
  if (volume.format == model::Format::Done && !wish.mkfs_options.empty() &&
      words_of(wish.mkfs_options) != words_of(volume.mkfs_options)) {
    text += (text.empty() ? "" : "; ") + std::string("volume ") + volume.name +
            " was formatted with mkfsOptions " + in_quotes(volume.mkfs_options) +
            ", so the options' " + in_quotes(wish.mkfs_options) + " change nothing";
  }
  return text;
}

void check_same_volume(const Wish& wish, const model::Volume& volume) {
  const auto differs = [&](const std::string& what, const std::string& has,
                           const std::string& asks) {
    throw Error(ErrorCode::InvalidArgument,
                "volume " + volume.name + " exists with " + what + " " + has +
                    ", but the options ask for " + asks +
                    "; if another volume of the same name is meant, rename one");
  };
  if (wish.size_bytes && *wish.size_bytes > volume.size_bytes) {
    differs("size", size_to_text(volume.size_bytes), size_to_text(*wish.size_bytes));
  }
  if (!wish.fs_type.empty() && wish.fs_type != volume.fs_type) {
    differs("file system", volume.fs_type, wish.fs_type);
  }
  if (!wish.pool.empty() && wish.pool != volume.pool) differs("pool", volume.pool, wish.pool);
}

}  // namespace plexvol::service
