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

inline ClientSettings settings_for(const std::string& server) {
  ClientSettings settings;
  settings.server = server;
  settings.user_agent = "plexvol-test/1";
  return settings;
}

}  // namespace plexvol::kube
