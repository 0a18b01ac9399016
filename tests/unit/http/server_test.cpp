#include "agent/http/server.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <barrier>
#include <condition_variable>
#include <fstream>
#include <future>
#include <random>
#include <thread>

#include "agent/api/protocol.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/http/raw_client.h"

namespace plexvol::http {
namespace {

using std::chrono::milliseconds;
constexpr std::chrono::seconds kPatience{20};  // until a test says that what it awaits never came

// A server on a socket of its own.
class TestServer {
 public:
  explicit TestServer(Handler handler, Settings settings = {})
      : server_(with_socket(std::move(settings)), std::move(handler)) {}

  std::string path() const { return directory_.path() / "folder" / "plexvold.sock"; }
  RawClient connect() const { return RawClient(path()); }
  Server& server() { return server_; }

 private:
  Settings with_socket(Settings settings) const {
    settings.socket_paths = {path()};
    settings.allowed_uid = getuid();
    return settings;
  }

  support::TemporaryDirectory directory_;
  Server server_;
};

// Something that is awaited from another thread.
class Signal {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool wait(milliseconds limit = kPatience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

Response answer_path(const Request& request) {
  return {.status = 200, .body = request.path};
}

api::ErrorInfo error_of(const RawReply& reply) {
  const auto parsed = api::from_json<api::Reply>(reply.body);
  CHECK_FALSE(parsed.ok);
  return parsed.error;
}

}  // namespace

TEST_CASE("http: a handler sees the whole request, and its answer comes back") {
  Request seen;
  TestServer server([&](const Request& request) {
    seen = request;
    return Response{.status = 200, .body = "{\"done\":true}"};
  });
  const auto reply = server.connect().exchange(
      request_text("/v1/mount", "{\"a\":1}",
                   "Plexvol-Protocol: 1\r\nplexvol-timeout-ms: 1234\r\nPlexvol-Trace: 1\r\n"));
  CHECK(reply.status == 200);
  CHECK(reply.body == "{\"done\":true}");
  CHECK(reply.head.find("Content-Type: application/json") != std::string::npos);
  CHECK(seen.path == "/v1/mount");
  CHECK(seen.body == "{\"a\":1}");
  CHECK(seen.protocol_version == 1);
  CHECK(seen.timeout == milliseconds(1234));
  CHECK(seen.trace);
  CHECK(seen.peer_uid == getuid());
  CHECK(seen.peer_pid == getpid());
}

TEST_CASE("http: a request that names no timeout and no trace has the defaults") {
  Request seen;
  TestServer server([&](const Request& request) {
    seen = request;
    return Response{};
  });
  CHECK(server.connect().exchange(request_text("/v1/x")).status == 200);
  CHECK(seen.timeout == milliseconds(90'000));
  CHECK_FALSE(seen.trace);
}

TEST_CASE("http: one connection carries many requests, also when they come in pieces or at once") {
  std::vector<std::shared_ptr<Connection>> connections;
  TestServer server([&](const Request& request) {
    connections.push_back(request.connection);
    return answer_path(request);
  });
  RawClient client = server.connect();
  CHECK(client.exchange(request_text("/v1/one")).body == "/v1/one");
  for (const char byte : request_text("/v1/two")) client.send({&byte, 1});
  CHECK(client.receive().body == "/v1/two");
  client.send(request_text("/v1/three") + request_text("/v1/four"));
  CHECK(client.receive().body == "/v1/three");
  CHECK(client.receive().body == "/v1/four");
  REQUIRE(connections.size() == 4);
  CHECK(connections.front() == connections.back());
}

TEST_CASE("http: a caller that asks to close is closed after the reply") {
  TestServer server(answer_path);
  RawClient client = server.connect();
  const auto reply =
      client.exchange(request_text("/v1/x", "{}", "Plexvol-Protocol: 1\r\nConnection: close\r\n"));
  CHECK(reply.status == 200);
  CHECK(reply.head.find("Connection: close") != std::string::npos);
  CHECK(client.wait_until_closed());
}

TEST_CASE("http: what is wrong with a request is answered, and never reaches a handler") {
  struct Case {
    const char* name;
    std::string request;
    unsigned status;
    const char* message;
  };
  const std::string long_header = "X: " + std::string(40UL * 1024, 'x') + "\r\n";
  const Case cases[] = {
      {"no HTTP", "hello\r\n\r\n", 400, "this is not an HTTP request"},
      {"binary", std::string("\x16\x03\x01\x00\x00\x00\r\n\r\n", 10), 400, "not an HTTP request"},
      {"GET", "GET /v1/x HTTP/1.1\r\nPlexvol-Protocol: 1\r\n\r\n", 405, "POST"},
      {"no version", request_text("/v1/x", "{}", ""), 400, "names no protocol version"},
      {"newer version", request_text("/v1/x", "{}", "Plexvol-Protocol: 99\r\n"), 400,
       "protocol version 99 is not supported; this plexvold supports 1 to 1"},
      {"no number", request_text("/v1/x", "{}", "Plexvol-Protocol: one\r\n"), 400, "version one"},
      {"bad timeout",
       request_text("/v1/x", "{}", "Plexvol-Protocol: 1\r\nPlexvol-Timeout-Ms: soon\r\n"), 400,
       "Plexvol-Timeout-Ms is \"soon\""},
      {"negative timeout",
       request_text("/v1/x", "{}", "Plexvol-Protocol: 1\r\nPlexvol-Timeout-Ms: -1\r\n"), 400,
       "Plexvol-Timeout-Ms is \"-1\""},
      {"huge body", request_text("/v1/x", std::string(2UL * 1024 * 1024, 'x')), 413,
       "larger than 1048576 bytes"},
      {"huge header", request_text("/v1/x", "{}", long_header), 431, "larger than 32768 bytes"},
      {"bad length", "POST /v1/x HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400,
       "not an HTTP request"},
  };
  std::atomic<int> handled = 0;
  TestServer server([&](const Request&) {
    ++handled;
    return Response{};
  });
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const auto reply = server.connect().exchange(c.request);
    CHECK(reply.status == c.status);
    REQUIRE_FALSE(reply.body.empty());
    const auto error = error_of(reply);
    CHECK(error.code == ErrorCode::InvalidArgument);
    CHECK_MESSAGE(error.message.find(c.message) != std::string::npos, error.message);
  }
  CHECK(handled == 0);
  CHECK(server.connect().exchange(request_text("/v1/x")).status == 200);
}

TEST_CASE("http: a connection survives a request that was only refused by us") {
  TestServer server(answer_path);
  RawClient client = server.connect();
  CHECK(client.exchange(request_text("/v1/x", "{}", "Plexvol-Protocol: 99\r\n")).status == 400);
  CHECK(client.exchange(request_text("/v1/x")).status == 200);
}

TEST_CASE("http: a body in chunks is refused at its header, however it comes [S8]") {
  std::atomic<int> handled = 0;
  TestServer server([&](const Request&) {
    ++handled;
    return Response{};
  });
  for (const std::string encoding :
       {"Transfer-Encoding: chunked\r\n", "transfer-encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTrailer: X\r\n"}) {
    CAPTURE(encoding);
    const std::string request = "POST /v1/x HTTP/1.1\r\nPlexvol-Protocol: 1\r\n" + encoding +
                                "\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n";
    RawClient whole = server.connect();
    CHECK(whole.exchange(request).status == 501);
    RawClient slow = server.connect();
    for (const char byte : request) {
      if (!slow.send({&byte, 1})) break;
    }
    CHECK(slow.receive().status == 501);
  }
  CHECK(handled == 0);
  CHECK(server.connect().exchange(request_text("/v1/x")).status == 200);
}

TEST_CASE("http: whatever is sent, in whatever pieces, the server lives and answers others [S8]") {
  TestServer server([](const Request& request) { return Response{.body = request.body}; });
  const std::string seeds[] = {
      request_text("/v1/x", R"({"a": 1})"),
      "POST /v1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\nT: u\r\n\r\n",
      "POST /v1/x HTTP/1.0\r\nContent-Length: 5\r\nConnection: keep-alive, upgrade\r\n\r\nabcde",
      "POST /v1/x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\nX:\r\n y\r\n\r\n",
      "CONNECT x:1 HTTP/1.1\r\nUpgrade: y\r\nConnection: upgrade\r\n\r\n",
  };
  std::minstd_rand chance(1);
  const auto up_to = [&](std::size_t most) { return chance() % (most + 1); };
  constexpr int kRounds = 300;
  for (int round = 0; round < kRounds; ++round) {
    std::string text = seeds[up_to(std::size(seeds) - 1)] + seeds[up_to(std::size(seeds) - 1)];
    for (std::size_t change = up_to(3); change > 0; --change) {
      const std::size_t at = up_to(text.size() - 1);
      constexpr std::string_view kBytes("\r\n:;, 0aF\0\xff", 12);
      switch (up_to(2)) {
        case 0:
          text[at] = kBytes[up_to(kBytes.size() - 1)];
          break;
        case 1:
          text.erase(at, 1 + up_to(3));
          break;
        default:
          text.insert(at, 1, kBytes[up_to(kBytes.size() - 1)]);
      }
    }
    RawClient client = server.connect();
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = 1 + up_to(text.size() / 4);
      if (!client.send(std::string_view(text).substr(at, length))) break;
      at += length;
    }
    client.close();
  }
  CHECK(server.connect().exchange(request_text("/v1/x")).status == 200);
}

TEST_CASE("http: a caller that is too slow is told so and closed") {
  TestServer server(answer_path, {.message_limit = milliseconds(30)});
  RawClient client = server.connect();
  const auto reply = client.exchange("POST /v1/x HTTP/1.1\r\nPlexvol-");
  CHECK(reply.status == 408);
  client.close();
  CHECK(server.connect().exchange(request_text("/v1/x")).status == 200);
}

TEST_CASE("http: a caller that goes in the middle of a request harms nobody") {
  TestServer server(answer_path);
  server.connect().send("POST /v1/x HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc");
  { const RawClient silent = server.connect(); }
  CHECK(server.connect().exchange(request_text("/v1/x")).status == 200);
}

TEST_CASE("http: what a handler throws becomes the reply") {
  TestServer server([](const Request& request) -> Response {
    if (request.path == "/v1/gone") throw Error(ErrorCode::NotFound, "no volume v1");
    throw std::runtime_error("out of luck");
  });
  RawClient client = server.connect();
  const auto gone = client.exchange(request_text("/v1/gone"));
  CHECK(gone.status == api::http_status(ErrorCode::NotFound));
  CHECK(error_of(gone).code == ErrorCode::NotFound);
  CHECK(error_of(gone).message == "no volume v1");
  const auto broken = client.exchange(request_text("/v1/x"));
  CHECK(broken.status == api::http_status(ErrorCode::Internal));
  CHECK(error_of(broken).message == "out of luck");
}

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

TEST_CASE("http: the socket is root's alone, in a folder that all may pass") {
  const TestServer server(answer_path);
  struct stat status {};
  REQUIRE(stat(server.path().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  REQUIRE(stat(std::filesystem::path(server.path()).parent_path().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0755);
}

TEST_CASE("http: a second agent cannot take a socket that is served") {
  TestServer server(answer_path);
  const Settings same{.socket_paths = {server.path()}};
  try {
    const Server second(same, answer_path);
    FAIL("the second server was let in");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Conflict);
    CHECK(std::string(error.what()).find(server.path()) != std::string::npos);
  }
  CHECK(server.connect().exchange(request_text("/v1/x")).status == 200);
}

TEST_CASE("http: what a dead agent left behind is replaced") {
  const support::TemporaryDirectory directory;
  const std::string path = directory.path() / "s";
  for (const char* left : {"s", "s.new", "s.lock"}) {
    std::ofstream(directory.path() / left) << "left behind";
  }
  const Server server({.socket_paths = {path}, .allowed_uid = getuid()}, answer_path);
  CHECK(RawClient(path).exchange(request_text("/v1/x")).status == 200);
  CHECK_FALSE(std::filesystem::exists(directory.path() / "s.new"));
}

TEST_CASE("http: one server listens on several sockets") {
  const support::TemporaryDirectory directory;
  const std::string one = directory.path() / "one";
  const std::string other = directory.path() / ".other";
  const Server server({.socket_paths = {one, other}, .allowed_uid = getuid()}, answer_path);
  CHECK(RawClient(one).exchange(request_text("/v1/one")).body == "/v1/one");
  CHECK(RawClient(other).exchange(request_text("/v1/other")).body == "/v1/other");
}

TEST_CASE("http: a path that is too long for a socket is refused with its name") {
  const support::TemporaryDirectory directory;
  const std::string path = directory.path() / std::string(120, 'x');
  CHECK_THROWS_WITH_AS(Server({.socket_paths = {path}}, answer_path), doctest::Contains("too long"),
                       Error);
}

TEST_CASE("http: another user than root is refused, even with the socket's mode changed" *
          doctest::skip(getuid() != 0)) {
  TestServer server(answer_path);
  std::filesystem::permissions(server.path(), std::filesystem::perms{0666});
  const auto folder = std::filesystem::path(server.path()).parent_path();
  std::filesystem::permissions(folder.parent_path(), std::filesystem::perms{0755});
  RawReply reply;
  std::thread([&] {
    // The bare system call: it changes this thread only.
    constexpr uid_t kNobody = 65534;
    if (syscall(SYS_setresuid, kNobody, kNobody, kNobody) != 0) return;
    reply = server.connect().exchange(request_text("/v1/x"));
  }).join();
  CHECK(reply.status == 403);
  CHECK(error_of(reply).message.find("uid 65534") != std::string::npos);
}

}  // namespace plexvol::http
