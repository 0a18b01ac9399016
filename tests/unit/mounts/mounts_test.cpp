#include <doctest/doctest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "agent/api/error.h"
#include "agent/mounts/child.h"
#include "agent/mounts/mount_flags.h"
#include "agent/mounts/target.h"

using namespace plexvol::mounts;  // NOLINT(google-build-using-namespace)
namespace base = plexvol::base;
using plexvol::Error;

namespace {

constexpr std::chrono::milliseconds kLong(10'000);

}  // namespace

TEST_CASE("mount flags: words of mount(8), the later one wins") {
  CHECK(parse_mount_flags({}).all == 0);
  CHECK(parse_mount_flags({"noatime", "nosuid"}).all == (MS_NOATIME | MS_NOSUID));
  CHECK(parse_mount_flags({"noexec", "exec"}).all == 0);
  CHECK(parse_mount_flags({"ro"}).read_only);
  CHECK(parse_mount_flags({"ro"}).all == 0);
  CHECK_FALSE(parse_mount_flags({"ro", "rw"}).read_only);
}

TEST_CASE("mount flags: those of the mount point are known from those of the file system") {
  const MountFlags flags = parse_mount_flags({"sync", "nodev", "strictatime"});
  CHECK(flags.all == (MS_SYNCHRONOUS | MS_NODEV | MS_STRICTATIME));
  CHECK(flags.of_mount_point == (MS_NODEV | MS_STRICTATIME));
}

TEST_CASE("mount flags: a word that is not known, or reaches further than a mount, is refused") {
  for (const char* word : {"bind", "remount", "move", "loop", "", "NOATIME", "shared"}) {
    CAPTURE(word);
    CHECK_THROWS_AS(parse_mount_flags({word}), Error);
  }
}

TEST_CASE("target: a path is made as the kernel's table has it") {
  CHECK(resolve_target("/nowhere-at-all/x") == "/nowhere-at-all/x");
  CHECK(resolve_target("//usr///./share//") == "/usr/share");
  CHECK(resolve_target("/proc") == "/proc");
  CHECK(resolve_target("/...") == "/...");
}

TEST_CASE("target: links in the parents are followed, the last part never") {
  CHECK(resolve_target("/proc/self/x") == "/proc/" + std::to_string(::getpid()) + "/x");
  CHECK(resolve_target("/proc/self") == "/proc/self");
}

TEST_CASE("target: a path that is relative, the root, or goes up is refused") {
  for (const std::string path : {"", "a", "./a", "/", "//", "/.", "/a/..", "/../a", "/a/../b"}) {
    CAPTURE(path);
    CHECK_THROWS_AS(resolve_target(path), Error);
  }
  CHECK_THROWS_AS(resolve_target(std::string("/a\0b", 4)), Error);
}

TEST_CASE("child: a system call that hangs does not hold its caller up") {
  // The child waits for a word that never comes, as mount(2) of a frozen volume does.
  Child child([](Channel& driver) { driver.receive(std::nullopt); });
  const auto begin = base::Clock::now();
  CHECK_FALSE(child.channel().receive(begin + std::chrono::milliseconds(30)));
  CHECK(base::Clock::now() - begin < kLong);
  CHECK_FALSE(child.wait(base::Clock::now()));
}

TEST_CASE("child: it notices that nobody waits for it any more") {
  Child child([](Channel& driver) { driver.receive(std::nullopt); });
  child.channel().close();
  CHECK(child.wait(base::Clock::now() + kLong));
}

TEST_CASE("child: messages go both ways, each as one") {
  Child child([](Channel& driver) {
    driver.send("first");
    driver.send("second");
    while (const auto word = driver.receive(std::nullopt)) driver.send("<" + *word + ">");
  });
  const base::Deadline deadline = base::Clock::now() + kLong;
  CHECK(child.channel().receive(deadline) == "first");
  CHECK(child.channel().receive(deadline) == "second");
  CHECK(child.channel().send("word"));
  CHECK(child.channel().receive(deadline) == "<word>");
}

TEST_CASE("child: one that dies is told from one that hangs") {
  Child child([](Channel&) { throw std::runtime_error("killed"); });
  CHECK_FALSE(child.channel().receive(base::Clock::now() + kLong));
  CHECK(child.wait(base::Clock::now() + kLong));
}

TEST_CASE("child: a long message is cut, never lost") {
  Child child([](Channel& driver) { driver.send(std::string(100'000, 'x')); });
  const auto message = child.channel().receive(base::Clock::now() + kLong);
  REQUIRE(message);
  CHECK(message->size() == 4096);
}
