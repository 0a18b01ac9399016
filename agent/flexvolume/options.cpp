#include "agent/flexvolume/options.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <string_view>

#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/filesystem/mount_options.h"

namespace plexvol::flexvolume {

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
                fmt::format("option {} is unknown{}; known options: {}", in_quotes(name),
                            near.empty() ? "" : fmt::format(" (did you mean {}?)", in_quotes(near)),
                            known));
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
                fmt::format("option replicas is \"{}\": it must be 1 or 2", text));
  }
  return replicas;
}

bool parse_flag(const std::string& name, const std::string& text) {
  if (text.empty() || text == "false") return false;
  if (text == "true") return true;
  throw Error(ErrorCode::InvalidArgument,
              fmt::format(R"(option {} is "{}": it must be "true" or "false")", name, text));
}

}  // namespace

Request parse_options(const api::Options& options, UnknownOptions unknown) {
  if (unknown == UnknownOptions::Refuse) refuse_unknown(options);
  Request request;
  volumes::Wanted& wanted = request.wanted;
  wanted.volume = pick(options, {"volume", "volumeID", kNameKey});
  if (wanted.volume.empty()) {
    throw Error(
        ErrorCode::InvalidArgument,
        std::string("the options name no volume: neither volume, volumeID nor ") + kNameKey);
  }
  request.name = pick(options, {kNameKey});
  if (request.name.empty()) request.name = wanted.volume;
  if (const std::string size = pick(options, {"size"}); options.contains("size")) {
    wanted.size_bytes = parse_size_bytes(size);
  }
  wanted.replicas = parse_replicas(pick(options, {"replicas"}));
  wanted.pool = pick(options, {"pool", "volumegroup"});
  wanted.fs_type = pick(options, {"fsType", "kubernetes.io/fsType"});
  wanted.mkfs_options = pick(options, {"mkfsOptions"});
  const auto mount_options = filesystem::parse_mount_options(pick(options, {"mountOptions"}));
  request.mount_flags = mount_options.flags;
  request.mount_data = mount_options.data;
  request.read_only = mount_options.read_only ||
                      parse_flag("readOnly", pick(options, {"readOnly"})) ||
                      pick(options, {"kubernetes.io/readwrite"}) == "ro";
  wanted.tenant = pick(options, {"kubernetes.io/pod.namespace"});
  volumes::check(wanted);
  check_node_name(request.name);  // Kubernetes names are of one kind: RFC 1123 subdomains
  return request;
}

}  // namespace plexvol::flexvolume
