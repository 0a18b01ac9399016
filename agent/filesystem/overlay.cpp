#include "agent/filesystem/overlay.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <utility>

namespace plexvol::filesystem {

namespace {

constexpr std::string_view kEscapedBackslash = "\\134";

bool is_layer_option(std::string_view name) {
  static constexpr std::array<std::string_view, 5> kNames{"lowerdir", "lowerdir+", "datadir+",
                                                          "upperdir", "workdir"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

// "\:" and "\," as mount(8) takes them.
std::string without_backslashes(const std::string& path) {
  std::string result;
  for (std::size_t at = 0; at < path.size(); ++at) {
    if (path[at] == '\\' && at + 1 < path.size()) ++at;
    result += path[at];
  }
  return result;
}

void add_path(std::string_view escaped, std::vector<std::string>& paths) {
  if (escaped.empty()) return;
  std::string path = mounts::unescape(escaped);
  std::string plain = without_backslashes(path);
  if (plain != path) paths.push_back(std::move(plain));
  paths.push_back(std::move(path));
}

// Kernels before 6.5 show a colon that is part of a path as it was given, "\:"; newer ones show
// "\072".
void add_paths(std::string_view list, bool backslash_escapes, std::vector<std::string>& paths) {
  std::size_t begin = 0;
  for (std::size_t at = 0; at <= list.size(); ++at) {
    if (at < list.size() && list[at] != ':') continue;
    const std::string_view path = list.substr(begin, at - begin);
    const bool is_escaped =
        at < list.size() && backslash_escapes && path.ends_with(kEscapedBackslash);
    if (is_escaped) continue;
    add_path(path, paths);
    begin = at + 1;
  }
}

bool is_absolute(const std::string& path) {
  return path.starts_with('/');
}

std::string first_part(const std::string& path) {
  return path.substr(0, path.find('/'));
}

// What is before "/PART/" or a "/PART" at the end; "" when that is not in it.
std::string before_part(const std::string& point, const std::string& part) {
  for (std::size_t at = point.find('/'); at != std::string::npos; at = point.find('/', at + 1)) {
    if (point.compare(at + 1, part.size(), part) != 0) continue;
    const std::size_t end = at + 1 + part.size();
    if (end == point.size() || point[end] == '/') return point.substr(0, at + 1);
  }
  return "";
}

}  // namespace

std::vector<std::string> parse_layers(std::string_view super_options) {
  std::vector<std::string> paths;
  while (!super_options.empty()) {
    const std::string_view option = super_options.substr(0, super_options.find(','));
    super_options.remove_prefix(std::min(option.size() + 1, super_options.size()));
    const std::size_t equals = option.find('=');
    if (equals == std::string_view::npos || !is_layer_option(option.substr(0, equals))) continue;
    const std::string_view value = option.substr(equals + 1);
    if (option.starts_with("lowerdir=")) {
      add_paths(value, true, paths);
      if (value.find(kEscapedBackslash) != std::string_view::npos) add_paths(value, false, paths);
    } else {
      add_path(value, paths);
    }
  }
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths;
}

Layers find_layers(const mounts::MountEntry& overlay) {
  std::vector<std::string> absolute = parse_layers(overlay.super_options);
  const auto middle = std::stable_partition(absolute.begin(), absolute.end(), is_absolute);
  const std::vector<std::string> relative(middle, absolute.end());
  absolute.erase(middle, absolute.end());
  if (absolute.empty()) {
    std::set<std::string> bases;
    for (const std::string& path : relative) {
      std::string base = before_part(overlay.mount_point, first_part(path));
      if (!base.empty()) bases.insert(std::move(base));
    }
    for (const std::string& base : bases) {
      for (const std::string& path : relative) absolute.push_back(base + path);
    }
  }
  const bool complete = !overlay.is_cut && !absolute.empty();
  return {.paths = std::move(absolute), .complete = complete};
}

}  // namespace plexvol::filesystem
