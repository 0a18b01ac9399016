#include "agent/kube/cache.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/http_server.h"
#include "tests/unit/kube/failures.h"

namespace plexvol::kube {

namespace {

using support::HttpConnection;
using support::HttpRequestSeen;
using support::HttpServer;

constexpr std::chrono::seconds kPatience{30};

std::string claim(const std::string& name, int revision, const std::string& phase = "Pending") {
  return R"({"metadata":{"namespace":"shop","name":")" + name + R"(","resourceVersion":")" +
         std::to_string(revision) + R"("},"status":{"phase":")" + phase + R"("}})";
}

std::string list_of(int revision, const std::string& items) {
  return R"({"kind":"PersistentVolumeClaimList","apiVersion":"v1","metadata":{"resourceVersion":")" +
         std::to_string(revision) + R"("},"items":[)" + items + "]}";
}

std::string event(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}

bool is_watch(const HttpRequestSeen& request) {
  return request.path.find("watch=1") != std::string::npos;
}

std::string revision_of(const HttpRequestSeen& request) {
  return request.path.substr(request.path.find("resourceVersion=") + 16);
}

// Answers the first list or watch by the first handler of its kind, and so on; the last one answers
// the rest.
class Script {
 public:
  std::vector<HttpServer::Handler> lists;
  std::vector<HttpServer::Handler> watches;

  HttpServer::Handler handler() {
    return [this](const HttpRequestSeen& request, HttpConnection& connection) {
      auto& [handlers, next] = is_watch(request) ? watch_state_ : list_state_;
      const std::size_t number = std::min(next++, handlers->size() - 1);
      handlers->at(number)(request, connection);
    };
  }

 private:
  using State = std::pair<const std::vector<HttpServer::Handler>*, std::atomic<std::size_t>>;
  State list_state_{&lists, 0};
  State watch_state_{&watches, 0};
};

HttpServer::Handler reply(const std::string& body) {
  return support::reply_always(200, body);
}

void hold(const HttpRequestSeen& /*request*/, HttpConnection& connection) {
  connection.begin_chunks();
  connection.await_close();
}

// The keys that a cache told of.
class Keys {
 public:
  void add(const std::string& key) {
    const std::lock_guard lock(mutex_);
    keys_.push_back(key);
    changed_.notify_all();
  }
  bool await(const std::vector<std::string>& keys) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return keys_ == keys; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> keys_;
};

}  // namespace

TEST_CASE("cache: shows what was listed and what changed since, and tells of both") {
  Script script;
  script.lists = {reply(list_of(5, claim("a", 3) + "," + claim("b", 4)))};
  script.watches = {[](const HttpRequestSeen&, HttpConnection& connection) {
    connection.begin_chunks();
    connection.chunk(event("MODIFIED", claim("a", 6, "Bound")) +
                     event("BOOKMARK", R"({"metadata":{"resourceVersion":"7"}})") +
                     event("DELETED", claim("b", 8)) + event("ADDED", claim("c", 9)));
    connection.await_close();
  }};
  const HttpServer server(script.handler());
  Client client(settings_for(server.url()));
  Keys keys;
  {
    const Cache<Claim> cache(client, "/api/v1/persistentvolumeclaims",
                             [&](const std::string& key) { keys.add(key); });
    CHECK(cache.await_listed(base::Clock::now() + kPatience, {}));
    CHECK(cache.is_listed());
    CHECK(keys.await({"shop/a", "shop/b", "shop/a", "shop/b", "shop/c"}));
    REQUIRE(cache.find("shop/a"));
    CHECK(cache.find("shop/a")->phase == "Bound");
    CHECK_FALSE(cache.find("shop/b"));
    CHECK(cache.all().size() == 2);
  }
  CHECK(revision_of(server.requests().at(1)) == "5");
}

TEST_CASE("cache: a broken watch goes on from the last revision heard of, a bookmark's too") {
  Script script;
  script.lists = {reply(list_of(5, claim("a", 3)))};
  script.watches = {
      [](const HttpRequestSeen&, HttpConnection& connection) {
        connection.begin_chunks();
        connection.chunk(event("BOOKMARK", R"({"metadata":{"resourceVersion":"70"}})"));
        connection.close_after();
      },
      [](const HttpRequestSeen&, HttpConnection& connection) { connection.reply(503, ""); }, hold};
  const HttpServer server(script.handler());
  Client client(settings_for(server.url()));
  const Cache<Claim> cache(client, "/api/v1/persistentvolumeclaims", {});
  REQUIRE(server.await_requests(4));
  CHECK(revision_of(server.requests()[1]) == "5");
  CHECK(revision_of(server.requests()[2]) == "70");
  CHECK(revision_of(server.requests()[3]) == "70");
}

TEST_CASE("cache: lists again after 410 and after garbage, and tells of what is gone") {
  Script script;
  script.lists = {reply(list_of(5, claim("a", 3) + "," + claim("b", 4))),
                  reply(list_of(8, claim("b", 4))), reply(list_of(9, claim("c", 9)))};
  script.watches = {
      [](const HttpRequestSeen&, HttpConnection& connection) { connection.reply(410, ""); },
      [](const HttpRequestSeen&, HttpConnection& connection) {
        connection.begin_chunks();
        connection.chunk("garbage\n");
        connection.await_close();
      },
      hold};
  const HttpServer server(script.handler());
  Client client(settings_for(server.url()));
  Keys keys;
  const Cache<Claim> cache(client, "/api/v1/persistentvolumeclaims",
                           [&](const std::string& key) { keys.add(key); });
  CHECK(keys.await({"shop/a", "shop/b", "shop/a", "shop/b", "shop/b", "shop/c"}));
  CHECK(cache.all().size() == 1);
}

TEST_CASE("cache: a broken object hides itself only") {
  Script script;
  script.lists = {reply(list_of(
      5, claim("a", 3) + R"(,{"metadata":{"name":"x"},"spec":{"accessModes":7}},{"metadata":{}},)" +
             claim("b", 4)))};
  script.watches = {[](const HttpRequestSeen&, HttpConnection& connection) {
    connection.begin_chunks();
    connection.chunk(event("MODIFIED", R"({"metadata":{"namespace":"shop","name":"a"},"spec":7})") +
                     event("ADDED", R"({"metadata":7})") + event("ADDED", claim("c", 7)));
    connection.await_close();
  }};
  const HttpServer server(script.handler());
  Client client(settings_for(server.url()));
  Keys keys;
  const Cache<Claim> cache(client, "/api/v1/persistentvolumeclaims",
                           [&](const std::string& key) { keys.add(key); });
  CHECK(keys.await({"shop/a", "shop/b", "shop/a", "shop/c"}));
  CHECK_FALSE(cache.find("shop/a"));
  CHECK(cache.find("shop/b"));
  CHECK(cache.find("shop/c"));
}

TEST_CASE("cache: not listed by the deadline or when stopped, and its end waits for no server") {
  Script script;
  script.lists = {hold};
  script.watches = {hold};
  const HttpServer server(script.handler());
  ClientSettings settings = settings_for(server.url());
  settings.timeout = std::chrono::hours(1);
  Client client(settings);
  const Cache<Node> cache(client, "/api/v1/nodes", {});
  REQUIRE(server.await_requests(1));
  CHECK_FALSE(cache.await_listed(base::Clock::now() + std::chrono::milliseconds(10), {}));
  std::stop_source stop;
  stop.request_stop();
  CHECK_FALSE(cache.await_listed(base::Clock::now() + std::chrono::hours(1), stop.get_token()));
  CHECK_FALSE(cache.is_listed());
}

TEST_CASE("list and watch: lists again when it is time to") {
  Script script;
  script.lists = {reply(list_of(5, ""))};
  script.watches = {[](const HttpRequestSeen&, HttpConnection& connection) {
    connection.begin_chunks();
    connection.end_chunks();
  }};
  const HttpServer server(script.handler());
  Client client(settings_for(server.url()));
  std::mutex mutex;
  std::condition_variable changed;
  int lists = 0;
  const ListWatch watch(client, "/api/v1/nodes",
                        {.replace_all =
                             [&](const std::vector<std::string>&) {
                               const std::lock_guard lock(mutex);
                               ++lists;
                               changed.notify_all();
                             },
                         .apply = [](const WatchEvent&) {}},
                        std::chrono::seconds(1));
  std::unique_lock lock(mutex);
  CHECK(changed.wait_for(lock, kPatience, [&] { return lists == 2; }));
  // The server is asked to end the watch by then.
  CHECK(server.requests().at(1).path.find("timeoutSeconds=1&") != std::string::npos);
}

TEST_CASE("list and watch: what a listener throws makes it list again") {
  Script script;
  script.lists = {reply(list_of(5, claim("a", 3)))};
  script.watches = {[](const HttpRequestSeen&, HttpConnection& connection) {
                      connection.begin_chunks();
                      connection.chunk(event("ADDED", claim("b", 6)));
                      connection.await_close();
                    },
                    hold};
  const HttpServer server(script.handler());
  Client client(settings_for(server.url()));
  const ListWatch watch(client, "/api/v1/persistentvolumeclaims",
                        {.replace_all = [](const std::vector<std::string>&) {},
                         .apply = [](const WatchEvent&) { throw std::logic_error("x"); }});
  REQUIRE(server.await_requests(4));
  CHECK_FALSE(is_watch(server.requests()[2]));
  CHECK(is_watch(server.requests()[3]));
}

}  // namespace plexvol::kube
