#include "agent/make_store.h"

#include <fmt/core.h>

#include <fstream>

#include "agent/log.h"
#include "agent/store/etcd_store.h"
#include "agent/store/file_store.h"

namespace plexvol {

namespace {

// The file's first line: an editor's line end is no part of the password.
std::string read_password(const std::string& path) {
  if (path.empty()) return "";
  std::ifstream file(path);
  std::string password;
  if (!file || !std::getline(file, password)) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("store.password_file: {} cannot be read", path));
  }
  return password;
}

}  // namespace

std::unique_ptr<store::Store> make_store(const Config& config, store::StoreSeen* seen) {
  const StoreConfig& wanted = config.store;
  if (wanted.kind == "embedded") {
    auto opened = std::make_unique<store::FileStore>(wanted.directory);
    if (const std::string note = opened->opening_note(); !note.empty()) log::warn(note);
    return opened;
  }
  return std::make_unique<store::EtcdStore>(
      store::EtcdSettings{.endpoints = wanted.endpoints,
                          .ca_file = wanted.ca_file,
                          .certificate_file = wanted.certificate_file,
                          .key_file = wanted.key_file,
                          .server_name = {},
                          .user = wanted.user,
                          .password = read_password(wanted.password_file),
                          .key_prefix = wanted.prefix,
                          .seen = seen});
}

}  // namespace plexvol
