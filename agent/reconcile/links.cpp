#include "agent/reconcile/links.h"

#include <filesystem>

namespace plexvol::reconcile {

namespace fs = std::filesystem;

std::string Links::find_target(const std::string& volume) const {
  std::error_code error;
  const fs::path target = fs::read_symlink(path(volume), error);
  return error ? "" : target.string();
}

void Links::set(const std::string& volume, const std::string& device) const {
  fs::create_directories(directory_);
  // A volume's name never begins with a dot. Beside it and renamed, so that nobody sees a moment
  // without a link.
  const fs::path fresh = directory_ + "/." + volume;
  fs::remove(fresh);
  fs::create_symlink(device, fresh);
  fs::rename(fresh, path(volume));
}

void Links::remove(const std::string& volume) const {
  fs::remove(path(volume));
}

}  // namespace plexvol::reconcile
