// An API server that has PVs and nodes, and keeps the events that it is told.
#pragma once

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/base/text.h"
#include "agent/controller/paths.h"
#include "agent/kube/client.h"
#include "tests/support/http_server.h"

namespace plexvol::controller {

class EventServer {
 public:
  // JSON texts.
  explicit EventServer(const std::vector<std::string>& volumes,
                       const std::vector<std::string>& nodes = {})
      : volumes_(to_list(volumes)), nodes_(to_list(nodes)) {}

  kube::ClientSettings settings() const {
    kube::ClientSettings settings;
    settings.server = server_.url();
    settings.user_agent = "plexvol-test/1";
    return settings;
  }

  // A list and a watch of each cache come before; each event is a request of its own.
  bool await_events(std::size_t count) const {
    for (std::size_t requests = count; events().size() < count; ++requests) {
      if (!server_.await_requests(requests)) return false;
    }
    return true;
  }

  // Of events that were told more than once.
  std::size_t count_patches() const {
    const auto requests = server_.requests();
    return static_cast<std::size_t>(std::count_if(
        requests.begin(), requests.end(),
        [](const support::HttpRequestSeen& request) { return request.method == "PATCH"; }));
  }

  // "Warning R on PersistentVolume /pv-1 uid-1: message"
  std::set<std::string> events() const {
    std::set<std::string> events;
    for (const auto& request : server_.requests()) {
      if (request.method != "POST") continue;
      const auto event = nlohmann::json::parse(request.body);
      const auto& about = event.at("involvedObject");
      const auto text = [](const nlohmann::json& json, const char* key) {
        return json.at(key).get<std::string>();
      };
      events.insert(text(event, "type") + ' ' + text(event, "reason") + " on " +
                    text(about, "kind") + ' ' + text(about, "namespace") + '/' +
                    text(about, "name") + ' ' + text(about, "uid") + ": " + text(event, "message"));
    }
    return events;
  }

 private:
  static std::string to_list(const std::vector<std::string>& items) {
    return R"({"metadata":{"resourceVersion":"5"},"items":[)" + base::join(items, ",") + "]}";
  }

  void answer(const support::HttpRequestSeen& request, support::HttpConnection& connection) const {
    if (request.path.find("watch=1") != std::string::npos) {
      connection.begin_chunks();
      connection.await_close();
    } else if (request.method == "GET") {
      connection.reply(200, request.path.starts_with(paths::kNodes) ? nodes_ : volumes_);
    } else {
      connection.reply(200, "{}");
    }
  }

  const std::string volumes_;
  const std::string nodes_;
  support::HttpServer server_{
      [this](const auto& request, auto& connection) { answer(request, connection); }};
};

// One of our driver for a volume, with a claim of its name in namespace shop. `terms`: those of its
// affinity, as JSON.
inline std::string pv_object(const std::string& name, const std::string& volume,
                             const std::string& phase, const std::string& terms = "") {
  nlohmann::json object{
      {"metadata", {{"name", name}, {"uid", "uid-" + name}}},
      {"spec",
       {{"persistentVolumeReclaimPolicy", "Retain"},
        {"claimRef",
         {{"kind", "PersistentVolumeClaim"},
          {"namespace", "shop"},
          {"name", name},
          {"uid", "claim-" + name},
          {"resourceVersion", "3"}}},
        {"flexVolume", {{"driver", "plexvol/plexvol"}, {"options", {{"volume", volume}}}}}}},
      {"status", {{"phase", phase}}}};
  if (!terms.empty()) {
    object["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] = nlohmann::json::parse(terms);
  }
  return object.dump();
}

}  // namespace plexvol::controller
