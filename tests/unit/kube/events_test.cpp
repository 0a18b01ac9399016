#include "agent/kube/events.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <string>

#include <nlohmann/json.hpp>

#include "tests/support/http_server.h"
#include "tests/unit/kube/failures.h"

namespace plexvol::kube {

namespace {

using nlohmann::json;
using support::HttpConnection;
using support::HttpRequestSeen;
using support::HttpServer;

Reference some_pod() {
  return {"v1", "Pod", "shop", "web-0", "u-1", "17"};
}

}  // namespace

TEST_CASE("events: as the API wants them, and counted by a patch") {
  const HttpServer server(support::reply_always(200, "{}"));
  Client client(settings_for(server.url()));
  Events events(client, "plexvol-controller", "n1");
  events.tell(some_pod(), EventType::Warning, "NoRoom", "no node has 1Ti free");
  REQUIRE(server.await_requests(1));
  const HttpRequestSeen created = server.requests()[0];
  CHECK(created.method == "POST");
  CHECK(created.path == "/api/v1/namespaces/shop/events");
  const json event = json::parse(created.body);
  const std::string name = event.at("metadata").at("name");
  CHECK(name.starts_with("web-0."));
  CHECK(name.find_first_not_of("0123456789abcdef", 6) == std::string::npos);
  CHECK(event.at("metadata").at("namespace") == "shop");
  CHECK(event.at("involvedObject") == json{{"apiVersion", "v1"},
                                           {"kind", "Pod"},
                                           {"namespace", "shop"},
                                           {"name", "web-0"},
                                           {"uid", "u-1"},
                                           {"resourceVersion", "17"}});
  CHECK(event.at("type") == "Warning");
  CHECK(event.at("reason") == "NoRoom");
  CHECK(event.at("message") == "no node has 1Ti free");
  CHECK(event.at("count") == 1);
  CHECK(event.at("source") == json{{"component", "plexvol-controller"}, {"host", "n1"}});
  CHECK(event.at("reportingComponent") == "plexvol-controller");
  CHECK(event.at("firstTimestamp") == event.at("lastTimestamp"));

  events.tell(some_pod(), EventType::Warning, "NoRoom", "no node has 1Ti free");
  REQUIRE(server.await_requests(2));
  const HttpRequestSeen counted = server.requests()[1];
  CHECK(counted.method == "PATCH");
  CHECK(counted.path == "/api/v1/namespaces/shop/events/" + name);
  CHECK(json::parse(counted.body).at("count") == 2);
  CHECK(json::parse(counted.body).contains("lastTimestamp"));

  events.tell(some_pod(), EventType::Normal, "NoRoom", "no node has 1Ti free");
  REQUIRE(server.await_requests(3));
  CHECK(server.requests()[2].method == "POST");
}

TEST_CASE("events: of an object without a namespace, with long and wild words") {
  const HttpServer server(support::reply_always(200, "{}"));
  Client client(settings_for(server.url()));
  Events events(client, "plexvol-controller", "n1");
  const std::string long_name = std::string(235, 'n') + "." + std::string(17, 'n');
  events.tell({"v1", "Node", "", long_name, "u", ""}, EventType::Normal, "R",
              "\xff\x1b\n" + std::string(3000, 'x'));
  REQUIRE(server.await_requests(1));
  CHECK(server.requests()[0].path == "/api/v1/namespaces/default/events");
  const json event = json::parse(server.requests()[0].body);
  CHECK(event.at("involvedObject").at("namespace") == "");
  const std::string message = event.at("message");
  CHECK(message.size() == 1024);
  CHECK(message.starts_with("?? xxx"));
  const std::string name = event.at("metadata").at("name");
  CHECK(name.size() <= 253);
  CHECK(name.find("..") == std::string::npos);
}

TEST_CASE("events: one that the server has forgotten is told again, with its count") {
  const HttpServer server([](const HttpRequestSeen& request, HttpConnection& connection) {
    connection.reply(request.method == "PATCH" ? 404 : 200, "{}");
  });
  Client client(settings_for(server.url()));
  Events events(client, "c", "n1");
  events.tell(some_pod(), EventType::Normal, "R", "m");
  REQUIRE(server.await_requests(1));
  events.tell(some_pod(), EventType::Normal, "R", "m");
  REQUIRE(server.await_requests(3));
  const json again = json::parse(server.requests()[2].body);
  CHECK(again.at("count") == 2);
  CHECK(again.at("metadata").at("name") !=
        json::parse(server.requests()[0].body).at("metadata").at("name"));
}

TEST_CASE("events: sent again under the same name when there was no answer") {
  std::atomic<int> to_fail = 1;
  const HttpServer server([&](const HttpRequestSeen&, HttpConnection& connection) {
    if (to_fail-- > 0) {
      connection.close_after();
    } else {
      connection.reply(409, R"({"reason":"AlreadyExists"})");
    }
  });
  Client client(settings_for(server.url()));
  Events events(client, "c", "n1");
  events.tell(some_pod(), EventType::Normal, "R", "m");
  REQUIRE(server.await_requests(2));
  CHECK(server.requests()[0].body == server.requests()[1].body);
  events.tell(some_pod(), EventType::Normal, "R", "m");
  REQUIRE(server.await_requests(3));
  CHECK(server.requests()[2].method == "PATCH");
}

TEST_CASE("events: one that is refused does not stop the others") {
  const HttpServer server([](const HttpRequestSeen& request, HttpConnection& connection) {
    connection.reply(request.body.find("\"bad\"") == std::string::npos ? 200 : 403, "{}");
  });
  Client client(settings_for(server.url()));
  Events events(client, "c", "n1");
  events.tell(some_pod(), EventType::Normal, "R", "bad");
  events.tell(some_pod(), EventType::Normal, "R", "good");
  REQUIRE(server.await_requests(2));
  CHECK(json::parse(server.requests()[1].body).at("message") == "good");
}

TEST_CASE("events: those that wait are sent at the end") {
  const HttpServer server(support::reply_always(200, "{}"));
  Client client(settings_for(server.url()));
  constexpr std::size_t kCount = 5;
  {
    Events events(client, "c", "n1");
    for (std::size_t i = 0; i < kCount; ++i) {
      events.tell(some_pod(), EventType::Normal, "R", std::to_string(i));
    }
  }
  CHECK(server.requests().size() == kCount);
}

TEST_CASE("events: the end waits for no server that does not answer") {
  const HttpServer server(support::never_reply());
  ClientSettings settings = settings_for(server.url());
  settings.timeout = std::chrono::hours(1);
  Client client(settings);
  {
    Events events(client, "c", "n1");
    events.tell(some_pod(), EventType::Normal, "R", "m");
    REQUIRE(server.await_requests(1));
  }
}

}  // namespace plexvol::kube
