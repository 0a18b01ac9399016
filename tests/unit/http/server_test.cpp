#include "agent/http/server.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/http/test_server.h"

namespace plexvol::http {

using std::chrono::milliseconds;

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
      constexpr std::string_view kBytes("\r\n:;, 0aF\0\xff", 11);
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

}  // namespace plexvol::http
