#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "agent/drbd/drbd.h"
#include "tests/support/child_process.h"
#include "tests/support/data_file.h"
#include "tests/support/events.h"
#include "tests/support/temporary_directory.h"

using plexvol::drbd::EventWatch;
using plexvol::support::Fifo;
using plexvol::support::TemporaryDirectory;

namespace {

class Heard {
 public:
  void operator()(const std::string& resource) {
    {
      const std::lock_guard lock(mutex_);
      names_.push_back(resource);
    }
    changed_.notify_all();
  }

  std::vector<std::string> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return names_.size() >= count; });
    return names_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> names_;
};

// Stands in for drbdsetup: a script that says what it is told to, tells its process id through a
// fifo, and ends or stays.
struct Tool {
  TemporaryDirectory directory;
  Fifo started{path("started")};

  std::string path(const std::string& name) const { return (directory.path() / name).string(); }

  EventWatch::Tool script(const std::string& text) const {
    std::ofstream(path("script")) << text;
    return {.argv = {"/bin/sh", path("script")}, .needs = "/"};
  }
  // Opens the fifo for as long as it lives.
  std::string announce() const { return "exec 3>'" + path("started") + "'; echo $$ >&3\n"; }
};

const std::string kOwnTest = "event watch: a child that is to die with its parent";

}  // namespace

TEST_CASE("event watch: tells of the start, then the name of each resource that changed") {
  const Tool tool;
  Heard heard;
  const std::string stream = "tests/data/drbd/events-stream.txt";
  const EventWatch watch(std::ref(heard), tool.script("cat " + stream + "; exec sleep 1000"));
  const auto names = heard.wait_for(34);
  REQUIRE_FALSE(names.empty());
  CHECK(names.front().empty());
  CHECK(names.size() >= 34);
  CHECK(std::all_of(names.begin() + 1, names.end(),
                    [](const std::string& name) { return name == "t1"; }));
}

TEST_CASE("event watch: a line that comes in two parts is one line") {
  const Tool tool;
  Heard heard;
  const Fifo go(tool.path("go"));
  const EventWatch watch(
      std::ref(heard),
      tool.script("printf 'exists -\nchange resource name:v'\n" + tool.announce() + "read line <'" +
                  go.path() + "'\nprintf '12 role:Primary\n'; exec sleep 1000"));
  CHECK(heard.wait_for(1) == std::vector<std::string>{""});
  tool.started.read_line();
  // Stays open: the script's own opening waits for a writer.
  std::ofstream signal(go.path());
  signal << "go\n" << std::flush;
  CHECK(heard.wait_for(2) == std::vector<std::string>{"", "v12"});
}

TEST_CASE("event watch: a stream that ended is started again, and everything may have changed") {
  const Tool tool;
  Heard heard;
  const EventWatch watch(std::ref(heard), tool.script("echo 'exists -'\n"));
  const auto names = heard.wait_for(3);
  CHECK(names.size() >= 3);
  CHECK(std::all_of(names.begin(), names.end(),
                    [](const std::string& name) { return name.empty(); }));
}

TEST_CASE("event watch: a stream that was killed is started again") {
  const Tool tool;
  Heard heard;
  const EventWatch watch(std::ref(heard),
                         tool.script(tool.announce() + "echo 'exists -'; exec sleep 1000"));
  const std::string first = tool.started.read_line();
  REQUIRE_FALSE(first.empty());
  heard.wait_for(1);
  REQUIRE(kill(static_cast<pid_t>(std::stol(first)), SIGKILL) == 0);
  CHECK(heard.wait_for(2).size() >= 2);
}

TEST_CASE("event watch: a tool that cannot be run is no trouble") {
  Heard heard;
  const EventWatch watch(std::ref(heard), {.argv = {"/nonexistent"}, .needs = "/"});
}

TEST_CASE("event watch: nothing is run before the kernel has the module") {
  const Tool tool;
  Heard heard;
  EventWatch::Tool script = tool.script("echo 'exists -'; exec sleep 1000");
  script.needs = tool.path("module");
  const EventWatch watch(std::ref(heard), script);
  std::ofstream(tool.path("module")) << "version: 8.4.11\n";
  CHECK(heard.wait_for(1).size() == 1);
}

TEST_CASE("event watch: it ends at once, and its tool with it") {
  const Tool tool;
  Heard heard;
  std::chrono::steady_clock::time_point begin;
  {
    const EventWatch watch(std::ref(heard),
                           tool.script(tool.announce() + "echo 'exists -'; exec sleep 1000"));
    CHECK_FALSE(tool.started.read_line().empty());
    heard.wait_for(1);
    begin = std::chrono::steady_clock::now();
  }
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
  CHECK(tool.started.ends_within());
}

TEST_CASE("event watch: a child that is to die with its parent" * doctest::skip()) {
  const std::string script = plexvol::support::variable("PLEXVOL_TEST_SCRIPT");
  Heard heard;
  const EventWatch watch(std::ref(heard), {.argv = {"/bin/sh", script}, .needs = "/"});
  heard.wait_for(1);
  for (;;) pause();
}

TEST_CASE("event watch: its tool does not outlive a program that was killed") {
  const Tool tool;
  const EventWatch::Tool script = tool.script(tool.announce() + "echo 'exists -'; exec sleep 1000");
  plexvol::support::ChildProcess program =
      plexvol::support::run_own_test(kOwnTest, {"PLEXVOL_TEST_SCRIPT=" + script.argv.back()});
  CHECK_FALSE(tool.started.read_line().empty());
  program.kill();
  CHECK(tool.started.ends_within());
}
