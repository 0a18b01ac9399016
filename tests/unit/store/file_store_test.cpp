#include "agent/store/file_store.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "agent/api/error.h"
#include "agent/store/file_format.h"
#include "tests/support/child_process.h"
#include "tests/support/store_calls.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::store {

using support::put;

using support::TemporaryDirectory;

namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

int number_at(Store& store, const std::string& key) {
  const std::optional<Entry> entry = store.get(key);
  return entry ? std::stoi(entry->value) : 0;
}

// Values this large make the file be compacted every few dozen commits.
constexpr std::size_t kChildValueBytes = 60'000;
constexpr int kChildSlots = 8;

std::string child_value(int n) {
  std::string value = std::to_string(n) + " ";
  value.resize(kChildValueBytes, 'x');
  return value;
}

// What happens in a directory, to be waited for.
class DirectoryEvents {
 public:
  explicit DirectoryEvents(const std::filesystem::path& directory) {
    ::inotify_add_watch(events_, directory.c_str(), IN_CREATE | IN_MODIFY | IN_MOVED_TO);
  }
  ~DirectoryEvents() { ::close(events_); }
  DirectoryEvents(const DirectoryEvents&) = delete;
  DirectoryEvents& operator=(const DirectoryEvents&) = delete;

  bool wait_for(std::uint32_t kind, const std::string& name) {
    alignas(inotify_event) std::array<char, 4096> buffer{};
    pollfd wanted{.fd = events_, .events = POLLIN, .revents = 0};
    while (::poll(&wanted, 1, 30'000) > 0) {
      const ssize_t count = ::read(events_, buffer.data(), buffer.size());
      for (ssize_t at = 0; at < count;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        if ((event->mask & kind) != 0 && name == event->name) return true;
        at += static_cast<ssize_t>(sizeof *event + event->len);
      }
    }
    return false;
  }

 private:
  const int events_ = ::inotify_init1(IN_CLOEXEC);
};

int last_acknowledged(const std::string& output) {
  const std::size_t word = output.rfind("done ", output.rfind('.'));
  return word == std::string::npos ? 0 : std::stoi(output.substr(word + 5));
}

// All that was acknowledged, at most one more, and that one whole.
void check_prefix(const std::filesystem::path& directory, int acknowledged) {
  FileStore store(directory);
  const int reached = number_at(store, "first");
  CHECK(reached >= acknowledged);
  CHECK(reached <= acknowledged + 1);
  CHECK(number_at(store, "last") == reached);
  for (int n = reached - kChildSlots + 1; n <= reached; ++n) {
    const auto entry = store.get("slots/" + std::to_string(n % kChildSlots));
    REQUIRE(entry);
    CHECK(entry->value == child_value(n));
  }
}

}  // namespace

TEST_CASE("file store: what was committed is there after a new start, and revisions go on") {
  const TemporaryDirectory directory;
  std::int64_t last = 0;
  {
    FileStore store(directory.path() / "made" / "by us");
    put(store, "a", "1");
    put(store, "b", "2");
    store.commit({.conditions = {}, .writes = {{"a", std::nullopt}, {"c", "3"}}});
    last = store.get("c")->revision;
    store.commit({.conditions = {}, .writes = {{"b", std::nullopt}}});
  }
  FileStore store(directory.path() / "made" / "by us");
  CHECK(store.opening_note().empty());
  CHECK(store.list("").size() == 1);
  CHECK(store.get("c")->value == "3");
  CHECK(store.get("c")->revision == last);
  put(store, "d", "4");
  // Also the removal of b, which left no key behind, had used a revision.
  CHECK(store.get("d")->revision > last + 1);
}

TEST_CASE("file store: only its owner can read what it holds") {
  const TemporaryDirectory directory;
  const FileStore store(directory.path() / "store");
  for (const char* name : {"store", "store/store.log", "store/lock"}) {
    struct stat status {};
    REQUIRE(::stat((directory.path() / name).c_str(), &status) == 0);
    CHECK((status.st_mode & 0077) == 0);
  }
}

TEST_CASE("file store: a second one on the same directory is refused, and says who has it") {
  const TemporaryDirectory directory;
  {
    const FileStore store(directory.path());
    try {
      const FileStore second(directory.path());
      FAIL("was not refused");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::Conflict);
      CHECK(std::string(error.what()).find(std::to_string(::getpid())) != std::string::npos);
    }
  }
  CHECK_NOTHROW(FileStore(directory.path()));
}

TEST_CASE("a store whose lock a child of a killed agent still has is opened when that has ended") {
  const TemporaryDirectory directory;
  pid_t child = 0;
  {
    const FileStore store(directory.path());
    child = fork();
    if (child == 0) {
      poll(nullptr, 0, 100);  // as long as a process takes to end
      _exit(0);
    }
  }
  REQUIRE(child > 0);
  CHECK_NOTHROW(FileStore(directory.path()));
  CHECK(waitpid(child, nullptr, 0) == child);
}

TEST_CASE("file store: a presence left behind by a process that died is gone at the next start") {
  const TemporaryDirectory directory;
  std::string crashed;
  {
    FileStore store(directory.path());
    put(store, "nodes/n1", "1");
    const auto presence = store.announce("alive/n1", "x", std::chrono::seconds(5), {});
    crashed = read_file(directory.path() / "store.log");
  }
  // As agents of 0.1.0 wrote it.
  crashed += to_record(10, {{"alive/n1", Item{"x", 10, true}}});
  write_file(directory.path() / "store.log", crashed);
  FileStore store(directory.path());
  CHECK_FALSE(store.get("alive/n1"));
  CHECK(store.get("nodes/n1"));
}

TEST_CASE("file store: a presence needs no room on the disk [O4]") {
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "store.log";
  FileStore store(directory.path());
  put(store, "alive/n2", "durable");
  const auto before = std::filesystem::file_size(file);
  {
    const auto presence = store.announce("alive/n1", "x", std::chrono::seconds(5), {});
    CHECK(store.get("alive/n1")->value == "x");
    // Conditions hold for it as for any key, and it is replaced and removed like any.
    CHECK_FALSE(store.commit({.conditions = {{"alive/n1", 0}}, .writes = {}}));
    CHECK(std::filesystem::file_size(file) == before);
    put(store, "a", "1");
    CHECK(store.get("a")->revision > store.get("alive/n1")->revision);
  }
  CHECK_FALSE(store.get("alive/n1"));
  const auto over = store.announce("alive/n2", "y", std::chrono::seconds(5), {});
  CHECK(store.get("alive/n2")->value == "y");
  CHECK_THROWS_AS(store.announce("alive/n3", "z", std::chrono::seconds(5), {{"absent", 7}}), Error);
  CHECK_FALSE(store.get("alive/n3"));
}

TEST_CASE("file store: a presence key that others wrote over stays theirs") {
  const TemporaryDirectory directory;
  FileStore store(directory.path());
  auto presence = store.announce("alive/n1", "x", std::chrono::seconds(5), {});
  put(store, "alive/n1", "theirs");
  presence.reset();
  CHECK(store.get("alive/n1")->value == "theirs");
}

TEST_CASE("file store: an interrupted last commit is dropped with a note, and the next ones stay") {
  const TemporaryDirectory directory;
  {
    FileStore store(directory.path());
    put(store, "a", "1");
    put(store, "b", "2");
  }
  const std::filesystem::path file = directory.path() / "store.log";
  const std::string whole = read_file(file);
  write_file(file, whole.substr(0, whole.size() - 3));
  {
    FileStore store(directory.path());
    CHECK(store.opening_note().find("interrupted") != std::string::npos);
    CHECK(store.get("a"));
    CHECK_FALSE(store.get("b"));
    put(store, "c", "3");
  }
  FileStore store(directory.path());
  CHECK(store.opening_note().empty());
  CHECK(store.list("").size() == 2);
}

TEST_CASE("file store: a damaged file is refused by name and left as it is") {
  const TemporaryDirectory directory;
  {
    FileStore store(directory.path());
    put(store, "a", "1");
    put(store, "b", "2");
  }
  const std::filesystem::path file = directory.path() / "store.log";
  std::string bytes = read_file(file);
  bytes[bytes.find("put")] = 'P';
  write_file(file, bytes);
  CHECK_THROWS_WITH_AS(FileStore(directory.path()), doctest::Contains(file.c_str()), Error);
  CHECK(read_file(file) == bytes);
}

TEST_CASE("file store: its file does not grow with its history") {
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "store.log";
  {
    FileStore store(directory.path());
    put(store, "kept", "x");
    const auto presence = store.announce("alive/n1", "x", std::chrono::seconds(5), {});
    for (int n = 0; n < 300; ++n) put(store, "a", child_value(n));
    CHECK(std::filesystem::file_size(file) < 6'000'000);
    CHECK(store.get("alive/n1"));
  }
  FileStore store(directory.path());
  CHECK(store.get("kept")->value == "x");
  CHECK(store.get("a")->value == child_value(299));
  CHECK_FALSE(store.get("alive/n1"));
}

TEST_CASE("file store: a full disk is said so, and what was there stays usable") {
  // The only way without a file system of our own is the limit on file sizes, which a child can
  // have.
  const TemporaryDirectory directory;
  support::ChildProcess child =
      support::run_own_test("child: commits beyond its file size limit",
                            {"STORE_DIRECTORY=" + directory.path().string()});
  child.read_to_end();
  CHECK_MESSAGE(child.wait() == 0, child.output());
}

TEST_CASE("child: commits beyond its file size limit" * doctest::skip()) {
  {
    FileStore store(support::variable("STORE_DIRECTORY"));
    put(store, "a", "1");
    const rlimit limit{.rlim_cur = 50'000, .rlim_max = 50'000};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    ::signal(SIGXFSZ, SIG_IGN);
    CHECK_THROWS_WITH_AS(put(store, "b", child_value(1)),
                         doctest::Contains("nothing was committed"), Error);
    CHECK_FALSE(store.get("b"));
    CHECK(put(store, "c", "2"));
  }
  FileStore store(support::variable("STORE_DIRECTORY"));
  CHECK(store.opening_note().empty());
  CHECK(store.list("").size() == 2);
}

// Each commit moves one number in three places at once; each acknowledged one is printed.
TEST_CASE("child: commits until it is killed" * doctest::skip()) {
  FileStore store(support::variable("STORE_DIRECTORY"));
  for (int n = number_at(store, "first") + 1;; ++n) {
    const std::string text = std::to_string(n);
    store.commit({.conditions = {},
                  .writes = {{"first", text},
                             {"slots/" + std::to_string(n % kChildSlots), child_value(n)},
                             {"last", text}}});
    std::printf("done %d.\n", n);
    std::fflush(stdout);
  }
}

TEST_CASE(
    "file store: killed in the middle of commits, it holds a prefix of them with all "
    "acknowledged") {
  const TemporaryDirectory directory;
  for (int target = 40; target < 240; target += 43) {
    CAPTURE(target);
    support::ChildProcess child = support::run_own_test(
        "child: commits until it is killed", {"STORE_DIRECTORY=" + directory.path().string()});
    const bool has_worked = child.read_until("done " + std::to_string(target) + ".");
    child.kill();
    child.read_to_end();
    REQUIRE_MESSAGE(has_worked, child.output());
    check_prefix(directory.path(), last_acknowledged(child.output()));
  }
}

TEST_CASE("file store: killed while its file is made anew, it has lost nothing") {
  struct Moment {
    std::uint32_t kind;
    const char* name;
  };
  for (const Moment& moment :
       {Moment{IN_CREATE, "store.log.new"}, Moment{IN_MODIFY, "store.log.new"},
        Moment{IN_MOVED_TO, "store.log"}}) {
    CAPTURE(moment.kind);
    const TemporaryDirectory directory;
    // The first file is made at the opening, which is not what is meant here.
    { const FileStore store(directory.path()); }
    DirectoryEvents events(directory.path());
    support::ChildProcess child = support::run_own_test(
        "child: commits until it is killed", {"STORE_DIRECTORY=" + directory.path().string()});
    const bool has_come = events.wait_for(moment.kind, moment.name);
    child.kill();
    child.read_to_end();
    REQUIRE_MESSAGE(has_come, child.output());
    CHECK(last_acknowledged(child.output()) > kChildSlots);
    check_prefix(directory.path(), last_acknowledged(child.output()));
  }
}

TEST_CASE("file store: a commit among six thousand keys is quick") {
  const TemporaryDirectory directory;
  FileStore store(directory.path());
  const std::string value(500, 'v');
  for (int n = 0; n < 6000; n += 60) {
    Transaction transaction;
    for (int i = n; i < n + 60; ++i)
      transaction.writes.push_back({"k/" + std::to_string(i), value});
    store.commit(transaction);
  }
  const auto begin = std::chrono::steady_clock::now();
  constexpr int kCommits = 200;
  for (int n = 0; n < kCommits; ++n) put(store, "k/" + std::to_string(n), value);
  const auto took = std::chrono::steady_clock::now() - begin;
  const auto each = std::chrono::duration_cast<std::chrono::microseconds>(took) / kCommits;
  MESSAGE("one commit: " << each.count() << " us");
  CHECK(each < std::chrono::milliseconds(100));
}

}  // namespace plexvol::store
