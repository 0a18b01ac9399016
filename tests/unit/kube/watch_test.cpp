#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/kube/client.h"
#include "tests/support/http_server.h"
#include "tests/unit/kube/failures.h"

namespace plexvol::kube {

namespace {

using support::HttpConnection;
using support::HttpRequestSeen;
using support::HttpServer;

std::string event_line(const std::string& type, const std::string& name, int revision) {
  return R"({"type":")" + type + R"(","object":{"metadata":{"name":")" + name +
         R"(","resourceVersion":")" + std::to_string(revision) + R"("}}})" + "\n";
}

// A watch that the server answers so.
struct Watched {
  explicit Watched(const std::function<void(HttpConnection&)>& answer)
      : server(
            [answer](const HttpRequestSeen&, HttpConnection& connection) { answer(connection); }) {
    Client client(settings_for(server.url()));
    failure = failure_of([&] {
      is_current = client.watch(
          "/api/v1/pods", "7",
          [&](const WatchEvent& event) { revisions.push_back(event.resource_version); }, {});
    });
  }

  HttpServer server;
  bool is_current = false;
  std::string failure;
  std::vector<std::string> revisions;
};

using Revisions = std::vector<std::string>;

}  // namespace

TEST_CASE("watch: what it asks for, and events that are cut anywhere") {
  const std::string text = event_line("ADDED", "a", 8) + event_line("MODIFIED", "a", 9) +
                           event_line("BOOKMARK", "", 12) + event_line("DELETED", "a", 13);
  for (const std::size_t size : {std::size_t{1}, std::size_t{7}, text.size()}) {
    const Watched watched([&](HttpConnection& connection) {
      connection.begin_chunks();
      for (std::size_t at = 0; at < text.size(); at += size) {
        connection.chunk(std::string_view(text).substr(at, size));
      }
      connection.end_chunks();
    });
    CHECK(watched.failure.empty());
    CHECK(watched.is_current);
    CHECK(watched.revisions == Revisions{"8", "9", "12", "13"});
    const std::string path = watched.server.requests().at(0).path;
    CHECK(path.starts_with("/api/v1/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds="));
    CHECK(path.ends_with("&resourceVersion=7"));
    const int seconds = std::stoi(path.substr(path.find("Seconds=") + 8));
    CHECK(seconds >= 300);
    CHECK(seconds <= 600);
  }
}

TEST_CASE("watch: a revision that is too old, as a status and in the midst of events") {
  const Watched status([](HttpConnection& connection) {
    connection.reply(410, R"({"kind":"Status","code":410,"reason":"Expired"})");
  });
  CHECK(status.failure.empty());
  CHECK_FALSE(status.is_current);

  // The server neither ends the watch nor is waited for.
  const Watched event([](HttpConnection& connection) {
    connection.begin_chunks();
    connection.chunk(event_line("ADDED", "a", 8) +
                     R"({"type":"ERROR","object":{"kind":"Status","code":410}})" + "\n" +
                     event_line("ADDED", "b", 9));
    connection.await_close();
  });
  CHECK(event.failure.empty());
  CHECK_FALSE(event.is_current);
  CHECK(event.revisions == Revisions{"8"});
}

TEST_CASE("watch: what breaks it") {
  const Watched refused([](HttpConnection& connection) { connection.reply(403, "no"); });
  CHECK(refused.failure == "Internal: WATCH /api/v1/pods: 403 no");

  const Watched closed([](HttpConnection& connection) {
    connection.begin_chunks();
    connection.chunk(event_line("ADDED", "a", 8));
    connection.close_after();
  });
  CHECK(closed.failure.starts_with("Unavailable: "));
  CHECK(closed.revisions == Revisions{"8"});

  const Watched broken_chunk([](HttpConnection& connection) {
    connection.begin_chunks();
    connection.chunk(event_line("ADDED", "a", 8));
    connection.send("nonsense\r\n");
    connection.await_close();
  });
  CHECK(broken_chunk.failure.starts_with("Unavailable: "));

  const Watched within_event([](HttpConnection& connection) {
    connection.begin_chunks();
    connection.chunk(event_line("ADDED", "a", 8) + "{\"type\":");
    connection.end_chunks();
  });
  CHECK(within_event.failure ==
        "Unavailable: WATCH /api/v1/pods: the connection ended within an event");

  const Watched garbage([](HttpConnection& connection) {
    connection.begin_chunks();
    connection.chunk(event_line("ADDED", "a", 8) + "<html>\n");
    connection.await_close();
  });
  CHECK(garbage.failure.starts_with("Internal: WATCH /api/v1/pods: "));
  CHECK(garbage.revisions == Revisions{"8"});

  const Watched endless_line([](HttpConnection& connection) {
    connection.begin_chunks();
    const std::string part(1U << 20U, 'x');
    while (connection.chunk(part)) {
    }
  });
  CHECK(endless_line.failure == "Internal: WATCH /api/v1/pods: a line has more than 8388608 bytes");

  const Watched trouble([](HttpConnection& connection) {
    connection.begin_chunks();
    connection.chunk(R"({"type":"ERROR","object":{"code":500,"message":"etcd is away"}})"
                     "\n");
    connection.await_close();
  });
  CHECK(trouble.failure == "Unavailable: WATCH /api/v1/pods: 500 etcd is away");
}

TEST_CASE("watch: stopped while nothing is heard, before an answer and between two events") {
  const auto stop_when = [](const std::function<void(HttpConnection&)>& answer, bool on_event,
                            std::chrono::milliseconds quiet = {}) {
    const HttpServer server([&](const HttpRequestSeen&, HttpConnection& connection) {
      answer(connection);
      connection.await_close();
    });
    ClientSettings settings = settings_for(server.url());
    settings.timeout = std::chrono::hours(1);
    Client client(settings);
    std::stop_source stop;
    int events = 0;
    std::jthread stopper([&] {
      if (on_event || !server.await_requests(1)) return;
      std::this_thread::sleep_for(quiet);
      stop.request_stop();
    });
    const auto hear = [&](const WatchEvent&) {
      ++events;
      if (on_event) stop.request_stop();
    };
    CHECK(client.watch("/api/v1/pods", "7", hear, stop.get_token()));
    return events;
  };
  CHECK(stop_when([](HttpConnection&) {}, false) == 0);
  CHECK(stop_when([](HttpConnection& connection) { connection.begin_chunks(); }, false) == 0);
  // Nothing but the stop wakes it by then: libcurl's own timers are over, which no one can await.
  CHECK(stop_when([](HttpConnection& connection) { connection.begin_chunks(); }, false,
                  std::chrono::milliseconds(1500)) == 0);
  CHECK(stop_when(
            [](HttpConnection& connection) {
              connection.begin_chunks();
              connection.chunk(event_line("ADDED", "a", 8) + event_line("ADDED", "b", 9));
            },
            true) == 1);
}

TEST_CASE("watch: no status within the time; what the listener throws; a limit of its own") {
  const HttpServer silent(support::never_reply());
  ClientSettings settings = settings_for(silent.url());
  settings.timeout = std::chrono::milliseconds(200);
  Client client(settings);
  const auto ignore = [](const WatchEvent&) {};
  CHECK(failure_of([&] {
          client.watch("/api/v1/pods", "7", ignore, {});
        }).starts_with("Unavailable"));

  const HttpServer server([](const HttpRequestSeen&, HttpConnection& connection) {
    connection.begin_chunks();
    connection.chunk(event_line("ADDED", "a", 8));
    connection.await_close();
  });
  Client other(settings_for(server.url()));
  const auto fail = [](const WatchEvent&) { throw std::logic_error("x"); };
  CHECK_THROWS_AS(other.watch("/api/v1/pods", "", fail, {}, std::chrono::seconds(20)),
                  std::logic_error);
  CHECK(server.requests().at(0).path ==
        "/api/v1/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds=20");
}

}  // namespace plexvol::kube
