// A set of directories in bounded memory: tells whether a path may be at or below one of them.
#pragma once

#include <string>
#include <vector>

namespace plexvol::filesystem {

// Whether `path` is the directory `point`, or below it.
bool is_below(const std::string& path, const std::string& point);
// /proc adds a word to the path of what was deleted; it may as well be part of a name.
std::string without_deleted(const std::string& path);

class PathFilter {
 public:
  void add(const std::string& point);
  // True for what is at or below a directory that was added. Of more than a few directories only
  // what they have in common is kept, so that it may be true for other paths, too.
  bool covers(const std::string& path) const;
  bool empty() const { return points_.empty(); }

 private:
  std::vector<std::string> points_;
};

}  // namespace plexvol::filesystem
