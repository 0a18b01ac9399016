#include "agent/store/records.h"

#include <fmt/core.h>

#include "agent/log.h"

namespace plexvol::store {

void throw_unreadable(const std::string& key, const std::string& why) {
  throw Error(ErrorCode::Internal,
              fmt::format("{}: the record cannot be read: {}; if a newer version wrote it, upgrade "
                          "this agent; otherwise restore this key from a backup of the store",
                          key, why));
}

void UnreadableLog::tell(const Entry& entry, const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    std::int64_t& told = told_[entry.key];
    if (told == entry.revision) return;
    told = entry.revision;
  }
  log::warn(error.what());
}

}  // namespace plexvol::store
