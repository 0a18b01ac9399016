// A server on a socket of its own, for the tests of it, and what they await from other threads.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>

#include "agent/api/protocol.h"
#include "agent/http/server.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/http/raw_client.h"

namespace plexvol::http {

inline constexpr std::chrono::seconds kPatience{
    20};  // until a test says that what it awaits never came

// A server on a socket of its own.
class TestServer {
 public:
  explicit TestServer(Handler handler, Settings settings = {})
      : server_(with_socket(std::move(settings)), std::move(handler)) {}

  std::string path() const { return directory_.path() / "folder" / "plexvold.sock"; }
  RawClient connect() const { return RawClient(path()); }
  Server& server() { return server_; }

 private:
  Settings with_socket(Settings settings) const {
    settings.socket_paths = {path()};
    settings.allowed_uid = getuid();
    return settings;
  }

  support::TemporaryDirectory directory_;
  Server server_;
};

// Something that is awaited from another thread.
class Signal {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool wait(std::chrono::milliseconds limit = kPatience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

inline Response answer_path(const Request& request) {
  return {.status = 200, .body = request.path};
}

inline api::ErrorInfo error_of(const RawReply& reply) {
  const auto parsed = api::from_json<api::Reply>(reply.body);
  CHECK_FALSE(parsed.ok);
  return parsed.error;
}

}  // namespace plexvol::http
