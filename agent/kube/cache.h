// The objects of one kind, as last heard of from the API server.
//
// A thread of its own lists them, and watches from there; when the watch breaks it begins again from
// the last revision that it heard of (bookmarks count), and lists again when that is too old, when
// nothing could be decoded, and at least every `relist`. Pauses between attempts grow from 0.5 to 30
// seconds, with jitter.
//
// A cache is a hint: before deleting anything, ask the server itself (Client).
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/deadline.h"
#include "agent/kube/client.h"
#include "agent/kube/objects.h"

namespace plexvol::kube {

// What lists and watches, for objects of any kind.
class ListWatch {
 public:
  struct Listener {
    std::function<void(std::vector<std::string> objects)> replace_all;
    std::function<void(const WatchEvent& event)> apply;  // never a bookmark
  };
  ListWatch(Client& client, std::string path, Listener listener,
            std::chrono::seconds relist = std::chrono::minutes(15));
  ~ListWatch();  // ends a watch that is under way, and returns after the last call of the listener
  ListWatch(const ListWatch&) = delete;
  ListWatch& operator=(const ListWatch&) = delete;

 private:
  void run(const std::stop_token& stop);

  Client& client_;
  const std::string path_;
  const Listener listener_;
  const std::chrono::seconds relist_;
  std::jthread thread_;
};

// Instantiated in cache.cpp for the kinds of objects.h, and for custom objects.
template <class T>
class Cache {
 public:
  using Object = std::shared_ptr<const T>;
  // Called from the cache's thread with the key of each object that came, changed or went, when the
  // cache shows it; after a list with every key, also of those that are gone.
  using OnChange = std::function<void(const std::string& key)>;

  Cache(Client& client, std::string path, OnChange on_change);

  Object find(const std::string& key) const;
  std::vector<Object> all() const;
  // False at the deadline, or when stopped before the first list has come.
  bool await_listed(base::Deadline deadline, const std::stop_token& stop) const;
  bool is_listed() const;

 private:
  void replace_all(const std::vector<std::string>& objects);
  void apply(const WatchEvent& event);

  mutable std::mutex mutex_;
  mutable std::condition_variable_any listed_condition_;
  std::map<std::string, Object> objects_;
  bool listed_ = false;
  OnChange on_change_;
  ListWatch list_watch_;  // last: its thread uses the others
};

}  // namespace plexvol::kube
