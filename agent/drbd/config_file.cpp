#include "agent/drbd/config_file.h"

#include <fmt/core.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "agent/api/error.h"
#include "agent/base/files.h"

namespace plexvol::drbd {

std::string config_path(const Settings& settings, const std::string& name) {
  return settings.config_directory + "/" + name + ".res";
}

std::string dump_path(const Settings& settings, const std::string& name) {
  return settings.config_directory + "/" + name + ".dump";
}

std::string untold_path(const Settings& settings, const std::string& name) {
  return settings.config_directory + "/" + name + ".untold";
}

std::optional<std::string> read_file(const std::string& path) {
  auto text = base::read_file(path);
  if (text || errno == ENOENT || errno == ENOTDIR) return text;
  throw Error(ErrorCode::Internal,
              fmt::format("cannot read {}: {}", path, base::error_text(errno)));
}

void replace_file(const std::string& path, const std::string& text) {
  std::error_code error;  // if this fails, the file cannot be written, which is told
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (base::replace_file(path, text)) return;
  throw Error(ErrorCode::Internal,
              fmt::format("cannot write {}: {}", path, base::error_text(errno)));
}

}  // namespace plexvol::drbd
