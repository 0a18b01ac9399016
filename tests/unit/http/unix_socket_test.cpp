// The socket that a server is reached by: whose it is, and who may use it.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "tests/unit/http/test_server.h"

namespace plexvol::http {

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
