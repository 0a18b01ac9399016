// Short words for what tests of a store do all the time.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "agent/api/error.h"
#include "agent/store/etcd_store.h"

namespace plexvol::support {

inline bool put(store::Store& store, const std::string& key, const std::string& value) {
  return store.commit({.conditions = {}, .writes = {{key, value}}});
}

struct Failure {
  std::optional<ErrorCode> code;  // nullopt: it did not fail
  std::string text = "(no failure)";
  std::chrono::steady_clock::duration took{};

  bool says(const std::string& part) const { return text.find(part) != std::string::npos; }
};

inline Failure failure_of(const std::function<void()>& call) {
  Failure failure;
  const auto begin = std::chrono::steady_clock::now();
  try {
    call();
  } catch (const Error& error) {
    failure.code = error.code();
    failure.text = error.what();
  }
  failure.took = std::chrono::steady_clock::now() - begin;
  return failure;
}

inline store::EtcdSettings quick(store::EtcdSettings settings) {
  settings.request_timeout = std::chrono::milliseconds(700);
  return settings;
}

// Long enough for a test that waits for etcd to be back.
inline store::EtcdSettings patient(store::EtcdSettings settings) {
  settings.request_timeout = std::chrono::seconds(30);
  return settings;
}

}  // namespace plexvol::support
