#include "agent/client/http_reply.h"

#include <doctest/doctest.h>

#include "agent/api/error.h"

using plexvol::Error;
using plexvol::client::parse_http_reply;

TEST_CASE("http reply: it is complete at its last byte and not before") {
  const std::string text =
      "HTTP/1.1 404 Not Found\r\nServer: x\r\ncontent-LENGTH:  5 \r\n\r\nhello";
  for (std::size_t length = 0; length < text.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(parse_http_reply(text.substr(0, length)));
  }
  const auto reply = parse_http_reply(text);
  REQUIRE(reply);
  CHECK(reply->status == 404);
  CHECK(reply->body == "hello");
  CHECK(reply->keep_alive);
}

TEST_CASE("http reply: the agent may want the connection closed, and a body may be empty") {
  const auto reply =
      parse_http_reply("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(reply);
  CHECK_FALSE(reply->keep_alive);
  CHECK(reply->body == "");
}

TEST_CASE("http reply: what is none is refused as soon as that is seen") {
  for (const std::string text :
       {"x", "HTTQ", "http/1.1 200 OK", "HTTP/2 200", "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 \r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_http_reply(text), Error);
  }
}

TEST_CASE("http reply: headers without end are not waited for") {
  std::string text = "HTTP/1.1 200 OK\r\n";
  while (text.size() < 32UL * 1024) text += "X: y\r\n";
  CHECK_THROWS_AS(parse_http_reply(text), Error);
}

TEST_CASE("http reply: the same length twice, and lines that end oddly, are no harm") {
  const auto reply = parse_http_reply(
      "HTTP/1.0 200\r\nContent-Length: 2\r\nCONTENT-LENGTH: 2\r\nEmpty:\r\n\r\n\r\n");
  REQUIRE(reply);
  CHECK(reply->body == "\r\n");
}
