// Against a genuine kube-apiserver, which tests/system/kubernetes/test_api_client.py has. By hand:
// PLEXVOL_API_SERVER=https://... PLEXVOL_API_CA=FILE PLEXVOL_API_TOKEN_FILE=FILE, of an account that
// may do everything, and the tests' executable with --test-suite=apiserver.
#include <doctest/doctest.h>
#include <fmt/core.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/api/random.h"
#include "agent/kube/cache.h"
#include "agent/kube/client.h"
#include "agent/kube/election.h"
#include "agent/kube/events.h"
#include "tests/unit/kube/failures.h"

namespace plexvol::kube {

namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kApiPatience{60};

void tell_missing(const std::string& variable) {
  static std::once_flag told;
  std::call_once(told, [&] { MESSAGE("skipped: " << variable << " is not set"); });
}

// A namespace of its own for one test. nullptr: there is no API server.
class ApiServer {
 public:
  static std::unique_ptr<ApiServer> find() {
    ClientSettings settings;
    settings.user_agent = "plexvol-test/1";
    settings.page_size = 2;
    for (const auto& [name, member] :
         {std::pair{"PLEXVOL_API_SERVER", &ClientSettings::server},
          std::pair{"PLEXVOL_API_CA", &ClientSettings::ca_file},
          std::pair{"PLEXVOL_API_TOKEN_FILE", &ClientSettings::token_file}}) {
      const char* value = ::getenv(name);  // NOLINT(concurrency-mt-unsafe)
      if (value == nullptr) {
        tell_missing(name);
        return nullptr;
      }
      settings.*member = value;
    }
    return std::make_unique<ApiServer>(settings);
  }

  explicit ApiServer(const ClientSettings& with) : settings(with), client(with) {
    client.create("/api/v1/namespaces", json{{"metadata", {{"name", ns}}}}.dump());
  }
  ~ApiServer() { failure_to_remove(client, "/api/v1/namespaces/" + ns); }
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  std::string path(const std::string& resource) const {
    return "/api/v1/namespaces/" + ns + "/" + resource;
  }
  std::string lease_path() const {
    return "/apis/coordination.k8s.io/v1/namespaces/" + ns + "/leases/lock";
  }
  json create_config(const std::string& name) {
    return json::parse(client.create(
        path("configmaps"), json{{"metadata", {{"name", name}}}, {"data", {{"a", "1"}}}}.dump()));
  }
  json get(const std::string& where) { return json::parse(client.get(where)); }

  const std::string ns = "plexvol-test-" + random_hex(8);
  const ClientSettings settings;
  Client client;
};

// What a test awaits from other threads.
template <class T>
class Awaited {
 public:
  void change(const std::function<void(T&)>& how) {
    const std::lock_guard lock(mutex_);
    how(value_);
    changed_.notify_all();
  }
  bool await(const std::function<bool(const T&)>& is_right) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kApiPatience, [&] { return is_right(value_); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
};

}  // namespace

TEST_SUITE_BEGIN("apiserver");

TEST_CASE("apiserver: create, get, patch, replace and remove, with conditions") {
  const auto server = ApiServer::find();
  if (!server) return;
  Client& client = server->client;
  const json created = server->create_config("one");
  const std::string uid = created.at("metadata").at("uid");
  const std::string one = server->path("configmaps/one");
  CHECK(server->get(one).at("data") == json{{"a", "1"}});
  CHECK(failure_of([&] { server->create_config("one"); }).starts_with("AlreadyExists: POST "));
  CHECK(failure_to_get(client, server->path("configmaps/two")) ==
        fmt::format("NotFound: GET {}: 404 configmaps \"two\" not found",
                    server->path("configmaps/two")));
  CHECK(failure_to_create(client, server->path("configmaps"), R"({"metadata":{"name":"No Name"}})")
            .starts_with("InvalidArgument: POST "));
  CHECK(failure_to_create(client, server->path("configmaps"), "{")
            .starts_with("InvalidArgument: POST "));
  CHECK(failure_of([&] {
          client.replace(server->path("configmaps"), "{}");
        }).starts_with("Unsupported: PUT "));

  client.patch(one, PatchKind::Merge, R"({"data":{"b":"2","a":null}})");
  client.patch(one, PatchKind::Json, R"([{"op":"add","path":"/data/c","value":"3"}])");
  client.patch(one, PatchKind::Strategic, R"({"metadata":{"labels":{"l":"m"}}})");
  json seen = server->get(one);
  CHECK(seen.at("data") == json{{"b", "2"}, {"c", "3"}});
  CHECK(seen.at("metadata").at("labels") == json{{"l", "m"}});
  CHECK(failure_of([&] {
          client.patch(one, PatchKind::Json, R"([{"op":"test","path":"/data/c","value":"4"}])");
        }) != "");

  const json before = std::exchange(seen, json::parse(client.replace(one, [&] {
                                      json changed = seen;
                                      changed["data"] = {{"d", "4"}};
                                      return changed.dump();
                                    }())));
  CHECK(seen.at("data") == json{{"d", "4"}});
  CHECK(failure_of([&] { client.replace(one, before.dump()); }).starts_with("Conflict: PUT "));

  CHECK(failure_to_remove(client, one, {.uid = "other", .resource_version = ""})
            .starts_with("Conflict: DELETE "));
  CHECK(failure_to_remove(
            client, one,
            {.uid = uid, .resource_version = before.at("metadata").at("resourceVersion")})
            .starts_with("Conflict: DELETE "));
  client.remove(one, {.uid = uid, .resource_version = seen.at("metadata").at("resourceVersion")});
  CHECK(failure_to_remove(client, one).starts_with("NotFound: DELETE "));
}

TEST_CASE("apiserver: a list in pages of two, and what the server serves") {
  const auto server = ApiServer::find();
  if (!server) return;
  std::set<std::string> names;
  for (int i = 0; i < 5; ++i) {
    names.insert("config-" + std::to_string(i));
    server->create_config("config-" + std::to_string(i));
  }
  const Listed listed = server->client.list(server->path("configmaps"));
  std::set<std::string> seen;
  for (const std::string& text : listed.objects) {
    const json object = json::parse(text);
    CHECK(object.at("kind") == "ConfigMap");
    CHECK(object.at("apiVersion") == "v1");
    seen.insert(object.at("metadata").at("name").get<std::string>());
  }
  seen.erase("kube-root-ca.crt");  // the controller-manager's
  CHECK(seen == names);
  CHECK_FALSE(listed.resource_version.empty());
  CHECK(server->client.serves("v1"));
  CHECK(server->client.serves("apps/v1"));
  CHECK_FALSE(server->client.serves("plexvol.io/v0"));
}

TEST_CASE("apiserver: a watch sees what changes, and bookmarks, until the server ends it") {
  const auto server = ApiServer::find();
  if (!server) return;
  const std::string path = server->path("configmaps") + "?fieldSelector=metadata.name%3Done";
  const std::string revision = server->client.list(path).resource_version;
  Client other(server->settings);
  std::jthread changes([&] {
    const std::string one = fmt::format("/api/v1/namespaces/{}/configmaps/one", server->ns);
    server->create_config("one");
    server->create_config("two");
    server->client.patch(one, PatchKind::Merge, R"({"data":{"a":"2"}})");
    server->client.remove(one);
  });
  std::vector<WatchEvent::Kind> kinds;
  std::string last;
  const auto hear = [&](const WatchEvent& event) {
    last = event.resource_version;
    if (event.kind == WatchEvent::Kind::Bookmark) {
      if (kinds.empty() || kinds.back() != event.kind) kinds.push_back(event.kind);
      return;
    }
    kinds.push_back(event.kind);
    CHECK(json::parse(event.object).at("metadata").at("name") == "one");
  };
  CHECK(other.watch(path, revision, hear, {}, std::chrono::seconds(8)));
  using Kind = WatchEvent::Kind;
  CHECK(kinds == std::vector<Kind>{Kind::Added, Kind::Modified, Kind::Deleted, Kind::Bookmark});

  // From where the bookmark says.
  std::stop_source stop;
  server->create_config("one");
  kinds.clear();
  CHECK(other.watch(
      path, last,
      [&](const WatchEvent& event) {
        kinds.push_back(event.kind);
        stop.request_stop();
      },
      stop.get_token()));
  CHECK(kinds == std::vector<Kind>{Kind::Added});
}

TEST_CASE("apiserver: a revision that is too old") {
  const auto server = ApiServer::find();
  if (!server) return;
  // The server knows nothing of the time before a kind was made.
  const std::string group = server->ns + ".plexvol.io";
  const std::string definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const json version{{"name", "v1"},
                     {"served", true},
                     {"storage", true},
                     {"schema", {{"openAPIV3Schema", {{"type", "object"}}}}}};
  const json definition{{"metadata", {{"name", "things." + group}}},
                        {"spec",
                         {{"group", group},
                          {"scope", "Cluster"},
                          {"names", {{"plural", "things"}, {"kind", "Thing"}}},
                          {"versions", {version}}}}};
  server->client.create(definitions, definition.dump());
  const std::string path = "/apis/" + group + "/v1/things";
  const auto limit = base::Clock::now() + kApiPatience;
  while (failure_to_list(server->client, path).starts_with("NotFound") &&
         base::Clock::now() < limit) {
    std::this_thread::sleep_for(milliseconds(50));
  }
  const auto ignore = [](const WatchEvent&) {};
  CHECK_FALSE(server->client.watch(path, "1", ignore, {}, std::chrono::seconds(20)));
  server->client.remove(definitions + "/things." + group);
}

TEST_CASE("apiserver: a token that is none, and an authority that is another") {
  const auto server = ApiServer::find();
  if (!server) return;
  ClientSettings settings = server->settings;
  settings.token_file = "/proc/sys/kernel/ostype";  // "Linux"
  Client stranger(settings);
  CHECK(failure_to_get(stranger, "/api/v1/nodes") ==
        "Internal: GET /api/v1/nodes: 401 Unauthorized");
  settings.ca_file = "";
  Client unsure(settings);
  CHECK(failure_to_get(unsure, "/api/v1/nodes").starts_with("Unavailable: "));
}

TEST_CASE("apiserver: a cache follows claims") {
  const auto server = ApiServer::find();
  if (!server) return;
  const auto create = [&](const std::string& name) {
    server->client.create(server->path("persistentvolumeclaims"),
                          json{{"metadata", {{"name", name}}},
                               {"spec",
                                {{"storageClassName", "none"},
                                 {"accessModes", {"ReadWriteOnce"}},
                                 {"resources", {{"requests", {{"storage", "0.5Gi"}}}}}}}}
                              .dump());
  };
  create("a");
  Awaited<std::set<std::string>> told;
  const Cache<Claim> cache(
      server->client, server->path("persistentvolumeclaims"),
      [&](const std::string& key) { told.change([&](auto& keys) { keys.insert(key); }); });
  REQUIRE(cache.await_listed(base::Clock::now() + kApiPatience, {}));
  const auto a = cache.find(server->ns + "/a");
  REQUIRE(a);
  CHECK(parse_quantity(a->requested) == 512U << 20U);
  CHECK(a->storage_class == "none");
  CHECK(a->volume_mode == "Filesystem");
  create("b");
  CHECK(told.await([&](const auto& keys) { return keys.contains(server->ns + "/b"); }));
  CHECK(cache.find(server->ns + "/b"));
}

TEST_CASE(
    "apiserver: one of two leads; another takes over what is given up, or not renewed any more") {
  const auto server = ApiServer::find();
  if (!server) return;
  const auto settings = [&](const std::string& identity) {
    ElectionSettings quick;
    quick.ns = server->ns;
    quick.name = "lock";
    quick.identity = identity;
    quick.duration = std::chrono::seconds(5);
    quick.renew = std::chrono::seconds(4);
    quick.retry = milliseconds(100);
    return quick;
  };
  Awaited<std::vector<std::string>> leaders;
  std::stop_source stop_a;
  std::stop_source stop_b;
  Client client_a(server->settings);
  Client client_b(server->settings);
  Election a(client_a, settings("a"));
  Election b(client_b, settings("b"));
  const auto compete = [&](Election& election, const std::string& name,
                           const std::stop_token& stop) {
    election.run_once(
        [&](const std::stop_token& lead_stop) {
          leaders.change([&](auto& names) { names.push_back(name); });
          std::mutex mutex;
          std::condition_variable_any never;
          std::unique_lock lock(mutex);
          never.wait(lock, lead_stop, [] { return false; });
          leaders.change([&](auto& names) { names.push_back("not " + name); });
        },
        stop);
  };
  std::jthread thread_a([&] { compete(a, "a", stop_a.get_token()); });
  CHECK(leaders.await([](const auto& names) { return names.size() == 1; }));
  std::jthread thread_b([&] { compete(b, "b", stop_b.get_token()); });
  const std::string first = server->get(server->lease_path()).at("spec").at("renewTime");
  while (server->get(server->lease_path()).at("spec").at("renewTime") == first) {
    std::this_thread::sleep_for(milliseconds(50));
  }
  CHECK_FALSE(b.is_leader());
  stop_a.request_stop();
  CHECK(leaders.await([](const auto& names) { return names.size() == 3; }));
  thread_a.join();

  // Another writes itself into the lock, and dies.
  server->client.patch(server->lease_path(), PatchKind::Merge,
                       R"({"spec":{"holderIdentity":"dead"}})");
  CHECK(leaders.await([](const auto& names) { return names.size() == 4; }));
  thread_b.join();
  std::jthread again([&] { compete(b, "b", stop_b.get_token()); });
  CHECK(leaders.await([](const auto& names) { return names.size() == 5; }));
  const json lease = server->get(server->lease_path());
  CHECK(lease.at("spec").at("holderIdentity") == "b");
  CHECK(lease.at("spec").at("leaseTransitions") == 2);
  stop_b.request_stop();
  again.join();
  CHECK(leaders.await([](const auto& names) {
    return names == std::vector<std::string>{"a", "not a", "b", "not b", "b", "not b"};
  }));
  CHECK_FALSE(server->get(server->lease_path()).at("spec").contains("holderIdentity"));
}

TEST_CASE("apiserver: events are told and counted") {
  const auto server = ApiServer::find();
  if (!server) return;
  const json config = server->create_config("one");
  const Reference about{"v1",
                        "ConfigMap",
                        server->ns,
                        "one",
                        config.at("metadata").at("uid"),
                        config.at("metadata").at("resourceVersion")};
  const auto list = [&] {
    std::vector<json> events;
    for (const std::string& text :
         server->client
             .list(server->path("events") + "?fieldSelector=involvedObject.uid%3D" + about.uid)
             .objects) {
      events.push_back(json::parse(text));
    }
    return events;
  };
  const auto await_count = [&](int count) {
    const auto limit = base::Clock::now() + kApiPatience;
    while (base::Clock::now() < limit) {
      const auto events = list();
      if (events.size() == 1 && events[0].at("count") == count) return true;
      std::this_thread::sleep_for(milliseconds(20));
    }
    return false;
  };
  Events events(server->client, "plexvol-test", "n1");
  events.tell(about, EventType::Warning, "NoRoom", "no node has 1Ti free");
  REQUIRE(await_count(1));
  events.tell(about, EventType::Warning, "NoRoom", "no node has 1Ti free");
  CHECK(await_count(2));
  const json event = list().at(0);
  CHECK(event.at("kind") == "Event");
  CHECK(event.at("type") == "Warning");
  CHECK(event.at("source") == json{{"component", "plexvol-test"}, {"host", "n1"}});
  CHECK(event.at("involvedObject").at("name") == "one");

  // The server forgets.
  server->client.remove(server->path("events/") +
                        event.at("metadata").at("name").get<std::string>());
  events.tell(about, EventType::Warning, "NoRoom", "no node has 1Ti free");
  CHECK(await_count(3));

  // In `default`, where others' events are, too.
  const std::string node = "plexvol-test-" + random_hex(8);
  {
    Events last_words(server->client, "plexvol-test", "n1");
    last_words.tell({"v1", "Node", "", node, node, ""}, EventType::Normal, "Said", "something");
  }
  const std::string of_node =
      "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3D" + node;
  const Listed listed = server->client.list(of_node);
  REQUIRE(listed.objects.size() == 1);
  const std::string name = json::parse(listed.objects[0]).at("metadata").at("name");
  server->client.remove("/api/v1/namespaces/default/events/" + name);
}

TEST_SUITE_END();

}  // namespace plexvol::kube
