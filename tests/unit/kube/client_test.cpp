// What a genuine API server cannot be made to do. What it does: apiserver_test.cpp.
#include "agent/kube/client.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/http_server.h"
#include "tests/unit/kube/failures.h"

namespace plexvol::kube {

namespace {

using support::HttpConnection;
using support::HttpRequestSeen;
using support::HttpServer;

constexpr const char* kPods = "/api/v1/namespaces/shop/pods";

std::string status_text(int code, const std::string& reason, const std::string& message) {
  return nlohmann::json{
      {"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", message}}
      .dump();
}

std::string get_failure(int status, const std::string& body, const std::string& headers = "") {
  const HttpServer server(support::reply_always(status, body, headers));
  Client client(settings_for(server.url()));
  return failure_to_get(client, "/api/v1/nodes/n1?x=y");
}

}  // namespace

TEST_CASE("client: verbs, paths, bodies and headers as they are sent") {
  const HttpServer server(support::reply_always(200, "{\"a\":1}"));
  Client client(settings_for(server.url() + "/"));
  CHECK(client.get("/api/v1/nodes?limit=1") == "{\"a\":1}");
  CHECK(client.create(kPods, "{}") == "{\"a\":1}");
  client.replace("/api/v1/nodes/n1", "{\"b\":2}");
  client.patch("/api/v1/nodes/n1", PatchKind::Json, "[]");
  client.patch("/api/v1/nodes/n1", PatchKind::Merge, "{}");
  client.patch("/api/v1/nodes/n1", PatchKind::Strategic, "{}");
  client.remove("/api/v1/nodes/n1");
  client.remove("/api/v1/nodes/n1", {"u-1", "17"});
  client.remove(kPods, {}, 0);

  const std::vector<HttpRequestSeen> seen = server.requests();
  REQUIRE(seen.size() == 9);
  CHECK(nlohmann::json::parse(seen[8].body).at("gracePeriodSeconds") == 0);
  CHECK(seen[0].method == "GET");
  CHECK(seen[0].path == "/api/v1/nodes?limit=1");
  CHECK(seen[0].headers.at("user-agent") == "plexvol-test/1");
  CHECK(seen[0].headers.at("accept") == "application/json");
  CHECK_FALSE(seen[0].headers.contains("authorization"));
  CHECK_FALSE(seen[0].headers.contains("content-type"));
  CHECK(seen[1].method == "POST");
  CHECK(seen[1].path == kPods);
  CHECK(seen[1].body == "{}");
  CHECK(seen[1].headers.at("content-type") == "application/json");
  CHECK_FALSE(seen[1].headers.contains("expect"));
  CHECK(seen[2].method == "PUT");
  CHECK(seen[2].body == "{\"b\":2}");
  CHECK(seen[3].method == "PATCH");
  CHECK(seen[3].headers.at("content-type") == "application/json-patch+json");
  CHECK(seen[4].headers.at("content-type") == "application/merge-patch+json");
  CHECK(seen[5].headers.at("content-type") == "application/strategic-merge-patch+json");
  CHECK(seen[6].method == "DELETE");
  CHECK(nlohmann::json::parse(seen[6].body) ==
        nlohmann::json{{"apiVersion", "v1"}, {"kind", "DeleteOptions"}});
  CHECK(nlohmann::json::parse(seen[7].body).at("preconditions") ==
        nlohmann::json{{"uid", "u-1"}, {"resourceVersion", "17"}});
  CHECK(seen[7].connection == 1);  // kept alive
}

TEST_CASE("client: a status becomes an error with verb, path, status and message") {
  CHECK(get_failure(404, status_text(404, "NotFound", "nodes \"n1\" not found")) ==
        "NotFound: GET /api/v1/nodes/n1: 404 nodes \"n1\" not found");
  CHECK(get_failure(409, status_text(409, "AlreadyExists", "there")) ==
        "AlreadyExists: GET /api/v1/nodes/n1: 409 there");
  CHECK(get_failure(409, status_text(409, "Conflict", "changed")) ==
        "Conflict: GET /api/v1/nodes/n1: 409 changed");
  CHECK(get_failure(400, "").starts_with("InvalidArgument"));
  CHECK(get_failure(422, "").starts_with("InvalidArgument"));
  CHECK(get_failure(405, "").starts_with("Unsupported"));
  CHECK(get_failure(415, "").starts_with("Unsupported"));
  CHECK(get_failure(401, "").starts_with("Internal"));
  CHECK(get_failure(403, "").starts_with("Internal"));
  CHECK(get_failure(500, "").starts_with("Unavailable"));
  CHECK(get_failure(504, "").starts_with("Unavailable"));
  CHECK(get_failure(429, status_text(429, "TooManyRequests", "busy"), "Retry-After: 7\r\n") ==
        "Unavailable: GET /api/v1/nodes/n1: 429 busy (retry after 7 s)");
  CHECK(get_failure(503, "upstream down\nsorry") ==
        "Unavailable: GET /api/v1/nodes/n1: 503 upstream down sorry");
}

TEST_CASE("client: a redirect is not followed, and a hostile message is one short line") {
  const HttpServer other(support::reply_always(200, "{}"));
  CHECK(get_failure(302, "", "Location: " + other.url() + "/x\r\n").starts_with("Internal"));
  CHECK(other.requests().empty());

  const std::string text =
      get_failure(403, status_text(403, "x", "\x1b[2J\n" + std::string(100'000, 'x')));
  CHECK(text.size() < 1200);
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("client: a list in pages, whose items get the list's kind") {
  const HttpServer server([](const HttpRequestSeen& request, HttpConnection& connection) {
    if (request.path == std::string(kPods) + "?labelSelector=a%3Db&limit=2") {
      connection.reply(200, R"({"kind":"PodList","apiVersion":"v1",
        "metadata":{"resourceVersion":"9","continue":"a/b+c="},
        "items":[{"metadata":{"name":"1"}},{"kind":"Other","metadata":{"name":"2"}}]})");
    } else if (request.path ==
               std::string(kPods) + "?labelSelector=a%3Db&limit=2&continue=a%2Fb%2Bc%3D") {
      connection.reply(200, R"({"kind":"PodList","apiVersion":"v1",
        "metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":"3"}}]})");
    } else {
      connection.reply(400, "{}");
    }
  });
  ClientSettings settings = settings_for(server.url());
  settings.page_size = 2;
  Client client(settings);
  const Listed listed = client.list(std::string(kPods) + "?labelSelector=a%3Db");
  CHECK(listed.resource_version == "9");
  CHECK(listed.objects ==
        std::vector<std::string>{R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"1"}})",
                                 R"({"apiVersion":"v1","kind":"Other","metadata":{"name":"2"}})",
                                 R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"3"}})"});
}

TEST_CASE("client: a list whose token expires is begun again once") {
  std::atomic<int> to_expire = 1;
  const HttpServer server([&](const HttpRequestSeen& request, HttpConnection& connection) {
    const bool is_first = request.path.find("continue=") == std::string::npos;
    if (is_first) {
      connection.reply(200, R"({"kind":"PodList","apiVersion":"v1",
        "metadata":{"resourceVersion":"1","continue":"c"},"items":[{"metadata":{"name":"1"}}]})");
    } else if (to_expire-- > 0) {
      connection.reply(410, status_text(410, "Expired", "too old"));
    } else {
      connection.reply(200,
                       R"({"kind":"PodList","metadata":{"resourceVersion":"2"},"items":null})");
    }
  });
  Client client(settings_for(server.url()));
  CHECK(client.list(kPods).objects.size() == 1);
  CHECK(server.requests().size() == 4);
  to_expire = 2;
  CHECK(failure_to_list(client, kPods).starts_with("Unavailable"));
  CHECK(server.requests().size() == 8);
}

TEST_CASE("client: what is no list, and a list that is stopped") {
  for (const std::string body : {"", "[]", "garbage", R"({"items":{}})", R"({"items":[5]})",
                                 R"({"metadata":{"continue":5}})"}) {
    CAPTURE(body);
    const HttpServer server(support::reply_always(200, body));
    Client client(settings_for(server.url()));
    CHECK(failure_to_list(client, kPods).starts_with("Internal: GET " + std::string(kPods)));
  }
  const HttpServer silent(support::never_reply());
  ClientSettings settings = settings_for(silent.url());
  settings.timeout = std::chrono::hours(1);
  Client client(settings);
  std::stop_source stop;
  std::jthread stopper([&] {
    silent.await_requests(1);
    stop.request_stop();
  });
  const CallStop call_stop(stop.get_token());
  CHECK(failure_to_list(client, kPods).ends_with(": cancelled"));
  {
    const CallStop never({});
    CHECK_FALSE(CallStop::in_force().stop_requested());
  }
  CHECK(failure_to_create(client, kPods, "{}").ends_with(": cancelled"));
}

TEST_CASE("client: group versions are asked for once, and again after an error") {
  std::atomic<int> to_fail = 1;
  const HttpServer server([&](const HttpRequestSeen& request, HttpConnection& connection) {
    if (request.path == "/api") {
      connection.reply(200, R"({"kind":"APIVersions","versions":["v1"]})");
    } else if (to_fail-- > 0) {
      connection.reply(503, "");
    } else {
      connection.reply(200, R"({"kind":"APIGroupList","groups":[{"name":"storage.k8s.io",
        "versions":[{"groupVersion":"storage.k8s.io/v1","version":"v1"}]}]})");
    }
  });
  Client client(settings_for(server.url()));
  CHECK(failure_of([&] { client.serves("v1"); }).starts_with("Unavailable"));
  CHECK(client.serves("v1"));
  CHECK(client.serves("storage.k8s.io/v1"));
  CHECK_FALSE(client.serves("coordination.k8s.io/v1"));
  CHECK(server.requests().size() == 4);
}

TEST_CASE("client: settings of a pod") {
  // NOLINTBEGIN(concurrency-mt-unsafe)
  REQUIRE(unsetenv("KUBERNETES_SERVICE_HOST") == 0);
  REQUIRE(unsetenv("KUBERNETES_SERVICE_PORT") == 0);
  CHECK(failure_of([] { in_cluster_settings(); }) ==
        "InvalidArgument: KUBERNETES_SERVICE_HOST is not set: not in a pod of a cluster");
  REQUIRE(setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1) == 0);
  CHECK(failure_of([] { in_cluster_settings(); }) ==
        "InvalidArgument: KUBERNETES_SERVICE_PORT is not set: not in a pod of a cluster");
  REQUIRE(setenv("KUBERNETES_SERVICE_PORT", "443", 1) == 0);
  CHECK(in_cluster_settings().server == "https://10.0.0.1:443");
  REQUIRE(setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1) == 0);
  const ClientSettings settings = in_cluster_settings();
  CHECK(settings.server == "https://[fd00::1]:443");
  CHECK(settings.ca_file == "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
  CHECK(settings.token_file == "/var/run/secrets/kubernetes.io/serviceaccount/token");
  CHECK(failure_of([&] { const Client client(settings); }).empty());
  REQUIRE(unsetenv("KUBERNETES_SERVICE_HOST") == 0);
  REQUIRE(unsetenv("KUBERNETES_SERVICE_PORT") == 0);
  // NOLINTEND(concurrency-mt-unsafe)
}

}  // namespace plexvol::kube
