// Callers that leave, wait, are many, or are worked for while the server is told to end.
#include <doctest/doctest.h>

#include <atomic>
#include <barrier>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/http/test_server.h"

namespace plexvol::http {

using std::chrono::milliseconds;

TEST_CASE("http: on_close is called when the caller goes away between two requests") {
  Signal closed;
  TestServer server([&](const Request& request) {
    request.connection->on_close([&] { closed.set(); });
    return Response{};
  });
  RawClient client = server.connect();
  CHECK(client.exchange(request_text("/v1/mount")).status == 200);
  CHECK_FALSE(closed.wait(milliseconds(0)));
  client.close();
  CHECK(closed.wait());
}

TEST_CASE("http: on_close and stop reach a handler whose caller goes away while it works") {
  Signal working;
  Signal closed;
  Signal stopped;
  TestServer server([&](const Request& request) {
    request.connection->on_close([&] { closed.set(); });
    working.set();
    if (closed.wait() && request.stop.stop_requested()) stopped.set();
    return Response{};
  });
  RawClient client = server.connect();
  client.send(request_text("/v1/mount"));
  REQUIRE(working.wait());
  client.close();
  CHECK(stopped.wait());
}

TEST_CASE("http: on_close is called at once when the caller has already gone") {
  Signal working;
  Signal called;
  TestServer server([&](const Request& request) {
    working.set();
    while (!request.connection->closed()) std::this_thread::yield();
    request.connection->on_close([&] { called.set(); });
    return Response{};
  });
  RawClient client = server.connect();
  client.send(request_text("/v1/mount"));
  REQUIRE(working.wait());
  client.close();
  CHECK(called.wait());
}

TEST_CASE("http: a request is handled although its caller did not wait for the answer") {
  Signal handled;
  TestServer server([&](const Request& request) {
    if (request.path == "/v1/mounted") handled.set();
    return Response{};
  });
  RawClient client = server.connect();
  CHECK(client.exchange(request_text("/v1/mount")).status == 200);
  client.send(request_text("/v1/mounted"));
  client.close();
  CHECK(handled.wait());
}

// A driver whose time is over has reported a failure, and its caller acts on that: an attach that
// comes to life after the next detach would attach a volume that nobody wants attached.
TEST_CASE("http: a call is not begun when its caller has left before it was read") {
  std::atomic<int> handled = 0;
  TestServer server(
      [&](const Request& request) {
        if (request.path == "/v1/attach") ++handled;
        return Response{};
      },
      {.max_connections = 1});
  RawClient first = server.connect();
  CHECK(first.exchange(request_text("/v1/x")).status == 200);
  RawClient late = server.connect();
  late.send(request_text("/v1/attach"));
  late.close();
  first.close();
  CHECK(server.connect().exchange(request_text("/v1/x")).status == 200);
  CHECK(handled == 0);
}

TEST_CASE("http: an idle connection is closed, unless somebody wants to know when it is") {
  TestServer server(
      [](const Request& request) {
        if (request.path == "/v1/mount") request.connection->on_close([] {});
        return Response{};
      },
      {.idle_limit = milliseconds(30)});
  RawClient watched = server.connect();
  CHECK(watched.exchange(request_text("/v1/mount")).status == 200);
  RawClient idle = server.connect();
  CHECK(idle.exchange(request_text("/v1/x")).status == 200);
  CHECK(idle.wait_until_closed());
  RawClient silent = server.connect();
  CHECK(silent.wait_until_closed());
  CHECK(watched.exchange(request_text("/v1/mounted")).status == 200);
}

TEST_CASE("http: a hundred calls are worked on at the same time") {
  constexpr int kCalls = 100;
  std::barrier together(kCalls);
  TestServer server([&](const Request&) {
    together.arrive_and_wait();
    return Response{};
  });
  std::vector<RawClient> clients;
  for (int i = 0; i < kCalls; ++i) {
    clients.push_back(server.connect());
    clients.back().send(request_text("/v1/x"));
  }
  for (RawClient& client : clients) CHECK(client.receive().status == 200);
}

TEST_CASE("http: an urgent call is answered whoever else waits [O14]") {
  Signal release;
  TestServer server(
      [&](const Request& request) {
        if (request.path == "/v1/mount") release.wait();
        return answer_path(request);
      },
      {.max_connections = 8, .urgent_paths = {"/v1/urgent"}, .reserved_connections = 2});
  std::vector<RawClient> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.push_back(server.connect());
    waiting.back().send(request_text("/v1/mount"));
  }
  // Whoever comes now is told, and does not keep the others from being heard.
  for (int i = 0; i < 4; ++i) {
    RawClient other = server.connect();
    const auto reply = other.exchange(request_text("/v1/x"));
    CHECK(reply.status == 503);
    CHECK(error_of(reply).code == ErrorCode::Unavailable);
    CHECK(error_of(reply).message.find("busy with 8 calls") != std::string::npos);
    CHECK(other.wait_until_closed());
    RawClient urgent = server.connect();
    CHECK(urgent.exchange(request_text("/v1/urgent")).body == "/v1/urgent");
    CHECK(urgent.wait_until_closed());
  }
  release.set();
  for (RawClient& client : waiting) CHECK(client.receive().status == 200);
}

TEST_CASE("http: connections beyond the limit wait until one ends") {
  TestServer server(answer_path, {.max_connections = 1});
  RawClient first = server.connect();
  CHECK(first.exchange(request_text("/v1/x")).status == 200);
  RawClient second = server.connect();
  second.send(request_text("/v1/y"));
  CHECK(first.exchange(request_text("/v1/x")).status == 200);
  first.close();
  CHECK(second.receive().body == "/v1/y");
}

TEST_CASE("http: stop tells handlers, lets their replies out, and takes nothing new") {
  Signal working;
  std::atomic<bool> told_closed = false;
  TestServer server([&](const Request& request) {
    request.connection->on_close([&] { told_closed = true; });
    working.set();
    Signal stopped;
    const std::stop_callback on_stop(request.stop, [&] { stopped.set(); });
    CHECK(stopped.wait());
    return Response{.body = "stopped"};
  });
  RawClient idle = server.connect();
  RawClient busy = server.connect();
  busy.send(request_text("/v1/mount"));
  REQUIRE(working.wait());
  CHECK(server.server().stop(kPatience));
  const auto reply = busy.receive();
  CHECK(reply.body == "stopped");
  CHECK(reply.head.find("Connection: close") != std::string::npos);
  CHECK(busy.wait_until_closed());
  CHECK(idle.wait_until_closed());
  CHECK_FALSE(told_closed);
  CHECK_FALSE(std::filesystem::exists(server.path()));
  CHECK_THROWS(server.connect());
}

TEST_CASE("http: stop says when a handler does not return in time") {
  Signal working;
  Signal release;
  TestServer server([&](const Request&) {
    working.set();
    release.wait();
    return Response{};
  });
  RawClient client = server.connect();
  client.send(request_text("/v1/x"));
  REQUIRE(working.wait());
  CHECK_FALSE(server.server().stop(milliseconds(20)));
  release.set();
  CHECK(server.server().stop(kPatience));
}

}  // namespace plexvol::http
