// As much of an API server as an election asks: one lock, which compares resourceVersions.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "tests/support/http_server.h"

namespace plexvol::kube {

class FakeLocks {
 public:
  // What the server serves beside v1: "coordination.k8s.io/v1", or "" for nothing.
  explicit FakeLocks(std::string leases = "coordination.k8s.io/v1")
      : leases_(std::move(leases)),
        server_([this](const support::HttpRequestSeen& request,
                       support::HttpConnection& connection) { answer(request, connection); }) {}

  const support::HttpServer& server() const { return server_; }

  // Requests of the client with this user agent are answered 503 from now on.
  void refuse(const std::string& user_agent) {
    const std::lock_guard lock(mutex_);
    refused_.insert(user_agent);
  }
  std::optional<nlohmann::json> object() const {
    const std::lock_guard lock(mutex_);
    return object_;
  }
  void set(std::optional<nlohmann::json> object) {
    const std::lock_guard lock(mutex_);
    store(std::move(object));
  }
  // Of a Lease; "": nobody.
  std::string holder() const {
    const auto lease = object();
    return lease ? lease->at("spec").value("holderIdentity", "") : "";
  }
  std::size_t writes() const { return writes_; }

 private:
  void answer(const support::HttpRequestSeen& request, support::HttpConnection& connection) {
    const std::lock_guard lock(mutex_);
    if (refused_.contains(request.headers.at("user-agent"))) return connection.reply(503, "");
    if (request.path == "/api") return connection.reply(200, R"({"versions":["v1"]})");
    if (request.path == "/apis") {
      nlohmann::json groups{{"groups", nlohmann::json::array()}};
      if (!leases_.empty()) {
        groups["groups"].push_back({{"versions", {{{"groupVersion", leases_}}}}});
      }
      return connection.reply(200, groups.dump());
    }
    if (request.method == "GET") {
      return object_ ? connection.reply(200, object_->dump()) : connection.reply(404, "{}");
    }
    const auto sent = nlohmann::json::parse(request.body);
    if (request.method == "POST" && object_) {
      return connection.reply(409, R"({"reason":"AlreadyExists"})");
    }
    if (request.method == "PUT" &&
        (!object_ || sent.at("metadata").at("resourceVersion") !=
                         object_->at("metadata").at("resourceVersion"))) {
      return connection.reply(409, R"({"reason":"Conflict"})");
    }
    store(sent);
    ++writes_;
    connection.reply(200, object_->dump());
  }

  void store(std::optional<nlohmann::json> object) {
    object_ = std::move(object);
    if (object_) (*object_)["metadata"]["resourceVersion"] = std::to_string(++revision_);
  }

  const std::string leases_;
  mutable std::mutex mutex_;
  std::optional<nlohmann::json> object_;
  std::set<std::string> refused_;
  int revision_ = 0;
  std::atomic<std::size_t> writes_ = 0;
  support::HttpServer server_;  // last: its threads use the others
};

}  // namespace plexvol::kube
