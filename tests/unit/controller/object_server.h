// An API server that keeps custom objects in memory, for tests of what writes them.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/base/deadline.h"
#include "agent/kube/cache.h"
#include "agent/kube/client.h"
#include "tests/support/http_server.h"

namespace plexvol::support {

// Objects are found by their whole paths: collection, "/", name. A status can be written by the path
// ".../status" only, and the rest not by that, as from Kubernetes 1.11 on.
class ObjectServer {
 public:
  using Json = nlohmann::json;

  std::string url() const { return server_.url(); }

  // Null: there is none.
  Json find(const std::string& path) {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(path);
    return found == objects_.end() ? Json() : found->second;
  }
  // As somebody else would: a merge patch.
  void patch(const std::string& path, const Json& change) {
    const std::lock_guard lock(mutex_);
    Json object = objects_.at(path);
    object.merge_patch(change);
    put(path, std::move(object), "MODIFIED");
  }
  void create(const std::string& path, Json object) {
    const std::lock_guard lock(mutex_);
    put(path, std::move(object), "ADDED");
  }
  // By path: its resourceVersion.
  std::map<std::string, std::string> versions(const std::string& collection) {
    const std::lock_guard lock(mutex_);
    std::map<std::string, std::string> found;
    for (const auto& [path, object] : objects_) {
      if (path.starts_with(collection + '/')) {
        found[object["metadata"]["name"]] = object["metadata"]["resourceVersion"];
      }
    }
    return found;
  }
  // From now on nobody hears of changes by a watch.
  void hold_watches() {
    const std::lock_guard lock(mutex_);
    is_held_ = true;
  }
  // "PATCH /apis/.../status" for each that was done, since the last call of this.
  std::vector<std::string> take_writes() {
    const std::lock_guard lock(mutex_);
    return std::exchange(writes_, {});
  }

 private:
  struct Change {
    std::uint64_t version;
    std::string path;
    Json event;
  };

  static constexpr std::string_view kStatus = "/status";

  void put(const std::string& path, Json object, const char* kind) {
    object["metadata"]["name"] = path.substr(path.rfind('/') + 1);
    object["metadata"]["uid"] = "uid-" + path;
    object["metadata"]["resourceVersion"] = std::to_string(++version_);
    objects_[path] = object;
    changes_.push_back({version_, path, {{"type", kind}, {"object", std::move(object)}}});
    changed_.notify_all();
  }

  static void refuse(HttpConnection& connection, int status, const char* reason) {
    connection.reply(status,
                     Json{{"kind", "Status"}, {"reason", reason}, {"message", reason}}.dump());
  }

  void answer(const HttpRequestSeen& request, HttpConnection& connection) {
    const std::size_t query = request.path.find('?');
    std::string path = request.path.substr(0, query);
    if (query != std::string::npos && request.path.find("watch=1") != std::string::npos) {
      return watch(path, request.path, connection);
    }
    const std::lock_guard lock(mutex_);
    if (request.method == "GET" && query != std::string::npos) return list(path, connection);
    if (request.method != "GET") writes_.push_back(request.method + ' ' + path);
    const bool is_status = path.ends_with(kStatus);
    if (is_status) path.resize(path.size() - kStatus.size());
    if (request.method == "POST") {
      Json object = Json::parse(request.body);
      path += '/' + object["metadata"]["name"].get<std::string>();
      if (objects_.contains(path)) return refuse(connection, 409, "AlreadyExists");
      object.erase("status");
      put(path, std::move(object), "ADDED");
      return connection.reply(201, objects_[path].dump());
    }
    const auto found = objects_.find(path);
    if (found == objects_.end()) return refuse(connection, 404, "NotFound");
    if (request.method == "DELETE") {
      changes_.push_back({++version_, path, {{"type", "DELETED"}, {"object", found->second}}});
      objects_.erase(found);
      changed_.notify_all();
      return connection.reply(200, "{}");
    }
    if (request.method == "PATCH") {
      Json change = Json::parse(request.body);
      const Json wanted = change["metadata"]["resourceVersion"];
      if (!wanted.is_null() && wanted != found->second["metadata"]["resourceVersion"]) {
        return refuse(connection, 409, "Conflict");
      }
      change.erase(is_status ? "spec" : "status");
      Json object = found->second;
      object.merge_patch(change);
      if (object != found->second) put(path, std::move(object), "MODIFIED");
    }
    connection.reply(200, objects_[path].dump());
  }

  void list(const std::string& collection, HttpConnection& connection) {
    Json items = Json::array();
    for (const auto& [path, object] : objects_) {
      if (path.starts_with(collection + '/')) items.push_back(object);
    }
    connection.reply(200, Json{{"kind", "ThingList"},
                               {"metadata", {{"resourceVersion", std::to_string(version_)}}},
                               {"items", std::move(items)}}
                              .dump());
  }

  void watch(const std::string& collection, const std::string& query, HttpConnection& connection) {
    constexpr std::string_view kSince = "resourceVersion=";
    std::uint64_t seen = std::stoull(query.substr(query.find(kSince) + kSince.size()));
    connection.begin_chunks();
    std::unique_lock lock(mutex_);
    while (true) {
      std::string text;
      for (const Change& change : changes_) {
        if (is_held_ || change.version <= seen) continue;
        seen = change.version;
        if (change.path.starts_with(collection + '/')) text += change.event.dump() + '\n';
      }
      // Tells also whether somebody still listens.
      const Json place = {{"resourceVersion", std::to_string(seen)}};
      text += Json{{"type", "BOOKMARK"}, {"object", {{"metadata", place}}}}.dump() + '\n';
      lock.unlock();
      if (!connection.chunk(text)) return;
      lock.lock();
      changed_.wait_for(lock, std::chrono::milliseconds(50));
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t version_ = 1;
  bool is_held_ = false;
  std::map<std::string, Json> objects_;
  std::vector<Change> changes_;
  std::vector<std::string> writes_;
  // Last: its threads use the others.
  HttpServer server_{[this](const HttpRequestSeen& request, HttpConnection& connection) {
    answer(request, connection);
  }};
};

inline kube::ClientSettings settings_for(const ObjectServer& server) {
  kube::ClientSettings settings;
  settings.server = server.url();
  settings.user_agent = "plexvol-test/1";
  return settings;
}

// The cache has what the server has there now.
template <class T>
bool is_synced(const kube::Cache<T>& cache, ObjectServer& server, const std::string& collection) {
  std::map<std::string, std::string> cached;
  for (const auto& object : cache.all()) {
    cached[object->meta.name] = object->meta.resource_version;
  }
  return cache.is_listed() && cached == server.versions(collection);
}

template <class Test>
void await_synced(const Test& is_synced_now) {
  const auto deadline = base::Clock::now() + std::chrono::seconds(30);
  while (!is_synced_now()) {
    REQUIRE(base::Clock::now() < deadline);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace plexvol::support
