// Connections and what goes wrong with them, as the client's user sees it.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/api/call_deadline.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/kube/client.h"
#include "tests/support/http_server.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/kube/failures.h"

namespace plexvol::kube {

namespace {

using support::HttpConnection;
using support::HttpRequestSeen;
using support::HttpServer;

}  // namespace

TEST_CASE("transport: paths that could not be sent, and servers that are none") {
  const HttpServer server(support::reply_always(200, "{}"));
  Client client(settings_for(server.url()));
  for (const std::string path :
       {"", "api", "/api/v1/x y", "/api\r\nX: y", "/api/v1#x", "/\xc3\xa4"}) {
    CAPTURE(path);
    CHECK(failure_to_get(client, path).starts_with("InvalidArgument"));
  }
  CHECK(server.requests().empty());
  for (const std::string address :
       {"", "127.0.0.1:1", "ftp://x", "https://", "https://a/b", "https://user@host"}) {
    CAPTURE(address);
    const auto make = [&] { const Client none(settings_for(address)); };
    CHECK(failure_of(make).starts_with("InvalidArgument"));
  }
}

TEST_CASE("transport: nobody listens; the answer does not come; the proxy is not asked") {
  std::string gone;
  {
    const HttpServer server(support::reply_always(200, "{}"));
    gone = server.url();
  }
  Client nobody(settings_for(gone));
  CHECK(
      failure_to_get(nobody, "/api").starts_with("Unavailable: GET /api: no answer from " + gone));

  const HttpServer silent(support::never_reply());
  ClientSettings settings = settings_for(silent.url());
  settings.timeout = std::chrono::milliseconds(200);
  Client patient(settings);
  CHECK(failure_to_get(patient, "/api") ==
        "Unavailable: GET /api: no answer from " + silent.url() + ": timed out");

  // A proxy would be asked for "http://..." instead of a path.
  REQUIRE(setenv("http_proxy", silent.url().c_str(), 1) == 0);  // NOLINT(concurrency-mt-unsafe)
  const HttpServer server(support::reply_always(200, "{}"));
  Client client(settings_for(server.url()));
  CHECK(client.get("/api") == "{}");
  REQUIRE(unsetenv("http_proxy") == 0);  // NOLINT(concurrency-mt-unsafe)
}

TEST_CASE("transport: an answer that is cut off, is no HTTP or is too long") {
  const auto failure_with = [](const std::function<void(HttpConnection&)>& answer) {
    const HttpServer server([&](const HttpRequestSeen&, HttpConnection& connection) {
      answer(connection);
      connection.close_after();
    });
    ClientSettings settings = settings_for(server.url());
    settings.timeout = std::chrono::hours(1);
    Client client(settings);
    std::string failure = failure_to_get(client, "/api");
    CHECK(server.requests().size() == 1);
    return failure;
  };
  CHECK(failure_with([](HttpConnection& connection) {
          connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{");
        }).starts_with("Unavailable"));
  CHECK(failure_with([](HttpConnection& connection) {
          connection.begin_chunks();
          connection.send("zz\r\n");
        }).starts_with("Unavailable"));
  CHECK(failure_with([](HttpConnection& connection) {
          connection.begin_chunks();
          connection.chunk("{");
        }).starts_with("Unavailable"));
  CHECK(failure_with([](HttpConnection& connection) {
          connection.send("SSH-2.0-OpenSSH\r\n");
        }).starts_with("Unavailable"));
  CHECK(failure_with([](HttpConnection&) {}).starts_with("Unavailable"));
  const auto endless = [](const HttpConnection& connection) {
    connection.begin_chunks();
    const std::string part(1U << 20U, ' ');
    while (connection.chunk(part)) {
    }
  };
  CHECK(failure_with(endless) == "Internal: GET /api: the answer has more than 64 MiB");
}

TEST_CASE(
    "client: a read is repeated when the server closed its connection meanwhile, a write is not") {
  const auto drop_second = [](const HttpRequestSeen& request, HttpConnection& connection) {
    if (request.connection == 1 && request.path.ends_with("second")) {
      connection.close_after();
    } else {
      connection.reply(200, "{}");
    }
  };
  SUBCASE("read") {
    const HttpServer server(drop_second);
    Client client(settings_for(server.url()));
    client.get("/api/first");
    CHECK(client.get("/api/second") == "{}");
    CHECK(server.requests().size() == 3);
  }
  SUBCASE("write") {
    const HttpServer server(drop_second);
    Client client(settings_for(server.url()));
    client.get("/api/first");
    CHECK(failure_to_create(client, "/api/second", "{}").starts_with("Unavailable"));
    CHECK(failure_to_remove(client, "/api/third").empty());
    CHECK(server.requests().size() == 3);
  }
  SUBCASE("remove, and a reset") {
    const HttpServer server([](const HttpRequestSeen& request, HttpConnection& connection) {
      if (request.connection == 1 && request.path.ends_with("second")) {
        connection.reset_after();
      } else {
        connection.reply(200, "{}");
      }
    });
    Client client(settings_for(server.url()));
    client.get("/api/first");
    CHECK(failure_to_remove(client, "/api/second").starts_with("Unavailable"));
    CHECK(server.requests().size() == 2);
  }
}

TEST_CASE("transport: many threads, each with a connection of its own") {
  const HttpServer server([](const HttpRequestSeen& request, HttpConnection& connection) {
    connection.reply(200, "\"" + request.path + "\"");
  });
  Client client(settings_for(server.url()));
  std::atomic<int> right = 0;
  constexpr int kThreads = 20;
  constexpr int kCalls = 50;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int call = 0; call < kCalls; ++call) {
        const std::string path = "/api/" + std::to_string(thread) + "/" + std::to_string(call);
        if (client.get(path) == "\"" + path + "\"") ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == kThreads * kCalls);
}

TEST_CASE("transport: after one connection died no other one is trusted") {
  std::atomic<int> together = 0;
  const HttpServer server([&](const HttpRequestSeen& request, HttpConnection& connection) {
    if (request.path == "/api/dies") return connection.await_close();
    if (request.path == "/api/together") {
      ++together;
      while (together < 2) std::this_thread::yield();
    }
    connection.reply(200, "{}");
  });
  ClientSettings settings = settings_for(server.url());
  settings.timeout = std::chrono::hours(1);
  Client client(settings);
  {
    std::jthread other([&] { client.get("/api/together"); });
    client.get("/api/together");
  }
  {
    const api::CallDeadline soon(std::chrono::steady_clock::now() + std::chrono::milliseconds(1));
    CHECK(failure_to_get(client, "/api/dies").ends_with(": timed out"));
  }
  client.get("/api/after");
  CHECK(server.requests().at(2).connection <= 2);
  CHECK(server.requests().at(3).connection == 3);
}

TEST_CASE("transport: a token that changes, and one that is accepted no more") {
  const support::TemporaryDirectory directory;
  const std::string path = directory.path() / "token";
  REQUIRE(base::replace_file(path, "one\n"));
  std::mutex mutex;
  std::string valid = "one";
  const auto set_valid = [&](const std::string& token) {
    const std::lock_guard lock(mutex);
    valid = token;
  };
  const HttpServer server([&](const HttpRequestSeen& request, HttpConnection& connection) {
    const std::lock_guard lock(mutex);
    const bool is_valid = request.headers.at("authorization") == "Bearer " + valid;
    connection.reply(is_valid ? 200 : 401, "{}");
  });
  ClientSettings settings = settings_for(server.url());
  settings.token_file = path;
  Client client(settings);
  CHECK(client.get("/api") == "{}");

  REQUIRE(base::replace_file(path, "two"));
  set_valid("two");
  CHECK(client.get("/api") == "{}");
  CHECK(server.requests().size() == 2);  // the new one was noticed before it was needed

  // The same size, and the same time: only the 401 tells.
  const auto time = std::filesystem::last_write_time(path);
  {
    const base::Descriptor same(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(base::write_all(same.get(), "six"));
  }
  std::filesystem::last_write_time(path, time);
  set_valid("six");
  CHECK(failure_to_create(client, "/api/x", "{\"a\":1}").empty());
  const std::vector<HttpRequestSeen> seen = server.requests();
  REQUIRE(seen.size() == 4);
  CHECK(seen[3].method == "POST");
  CHECK(seen[3].body == "{\"a\":1}");

  set_valid("secret-of-another");
  const std::string failure = failure_to_get(client, "/api");
  CHECK(failure.starts_with("Internal: GET /api: 401"));
  CHECK(failure.find("six") == std::string::npos);
  CHECK(server.requests().size() == 5);
}

TEST_CASE("transport: a token file that cannot be read, or holds no token") {
  const support::TemporaryDirectory directory;
  const HttpServer server(support::reply_always(200, "{}"));
  ClientSettings settings = settings_for(server.url());
  settings.token_file = directory.path() / "token";
  Client client(settings);
  CHECK(failure_to_get(client, "/api") ==
        "Internal: cannot read token file " + settings.token_file + ": No such file or directory");
  for (const std::string text : {"", "\n", "secret\r\nX-Evil: 1", "se cret"}) {
    REQUIRE(base::replace_file(settings.token_file, text));
    const std::string failure = failure_to_get(client, "/api");
    CHECK(failure == "Internal: token file " + settings.token_file + ": expected one token");
  }
  CHECK(server.requests().empty());
}

}  // namespace plexvol::kube
