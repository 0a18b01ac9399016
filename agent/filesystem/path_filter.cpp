#include "agent/filesystem/path_filter.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace plexvol::filesystem {

namespace {

constexpr std::size_t kMostPoints = 16;

std::string common_parent(const std::string& one, const std::string& other) {
  const auto difference = std::mismatch(one.begin(), one.end(), other.begin(), other.end());
  const std::string common(one.begin(), difference.first);
  return common.substr(0, std::max<std::size_t>(common.rfind('/'), 1));
}

}  // namespace

bool is_below(const std::string& path, const std::string& point) {
  if (point == "/" || path == point) return true;
  return path.size() > point.size() && path[point.size()] == '/' && path.starts_with(point);
}

std::string without_deleted(const std::string& path) {
  static constexpr std::string_view kDeleted = " (deleted)";
  return path.ends_with(kDeleted) ? path.substr(0, path.size() - kDeleted.size()) : path;
}

void PathFilter::add(const std::string& point) {
  if (covers(point)) return;
  std::erase_if(points_, [&](const std::string& known) { return is_below(known, point); });
  points_.push_back(point);
  if (points_.size() <= kMostPoints) return;
  std::string common = points_.front();
  for (const std::string& known : points_) {
    if (!is_below(known, common)) common = common_parent(common, known);
  }
  points_ = {common};
}

bool PathFilter::covers(const std::string& path) const {
  const std::string other = without_deleted(path);
  return std::any_of(points_.begin(), points_.end(), [&](const std::string& point) {
    return is_below(path, point) || is_below(other, point);
  });
}

}  // namespace plexvol::filesystem
