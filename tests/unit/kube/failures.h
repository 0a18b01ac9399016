// What a call to the client failed with.
#pragma once

#include <functional>
#include <string>

#include "agent/api/error.h"
#include "agent/kube/client.h"

namespace plexvol::kube {

// "NotFound: message", or "" when it did not fail.
inline std::string failure_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return std::string(to_text(error.code())) + ": " + error.what();
  }
  return "";
}

inline std::string failure_to_get(Client& client, const std::string& path) {
  return failure_of([&] { client.get(path); });
}
inline std::string failure_to_create(Client& client, const std::string& path,
                                     const std::string& object = "{}") {
  return failure_of([&] { client.create(path, object); });
}
inline std::string failure_to_remove(Client& client, const std::string& path,
                                     const Precondition& precondition = {}) {
  return failure_of([&] { client.remove(path, precondition); });
}
inline std::string failure_to_list(Client& client, const std::string& path) {
  return failure_of([&] { client.list(path); });
}

inline ClientSettings settings_for(const std::string& server) {
  ClientSettings settings;
  settings.server = server;
  settings.user_agent = "plexvol-test/1";
  return settings;
}

}  // namespace plexvol::kube
