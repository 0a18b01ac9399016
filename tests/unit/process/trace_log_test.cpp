#include "agent/process/trace_log.h"

#include <doctest/doctest.h>

#include <thread>

#include "agent/api/error.h"
#include "tests/support/scripted_runner.h"

using plexvol::process::Command;
using plexvol::process::Step;
using plexvol::process::TraceLog;
using plexvol::process::TraceSubject;
using plexvol::process::TracingRunner;
using plexvol::support::ScriptedRunner;
using Clock = std::chrono::steady_clock;

namespace {

Command command(const std::string& tool) {
  return {.argv = {"/sbin/" + tool}, .input = {}};
}

std::vector<std::string> texts(const std::vector<Step>& steps) {
  std::vector<std::string> result;
  result.reserve(steps.size());
  for (const Step& step : steps) result.push_back(step.text);
  return result;
}

class Refusing : public plexvol::process::Runner {
 public:
  plexvol::process::Output run(const Command& /*command*/) override {
    throw plexvol::Error(plexvol::ErrorCode::Unavailable, "it hangs");
  }
};

}  // namespace

TEST_CASE("steps are kept by the subject that they were run for") {
  ScriptedRunner inner;
  inner.expect({"/sbin/a"}).expect({"/sbin/b"}, {.exit_code = 5, .out = "", .err = ""});
  inner.expect({"/sbin/c"}).expect({"/sbin/d"});
  TraceLog log;
  TracingRunner runner(inner, log, {});
  const auto start = Clock::now();
  {
    const TraceSubject outer("v1");
    runner.run(command("a"));
    {
      const TraceSubject nested("v2");
      runner.run(command("b"));
    }
    runner.run(command("c"));
  }
  runner.run(command("d"));
  CHECK(texts(log.steps_since("v1", start)) == std::vector<std::string>{"a", "c"});
  REQUIRE(log.steps_since("v2", start).size() == 1);
  CHECK(log.steps_since("v2", start).front().exit_code == 5);
  CHECK(texts(log.steps_since("", start)) == std::vector<std::string>{"d"});
}

TEST_CASE("steps from before a time are left out") {
  TraceLog log;
  const auto time = Clock::now();
  log.add("v1", time - std::chrono::seconds(1), {.text = "old"});
  log.add("v1", time, {.text = "new"});
  CHECK(texts(log.steps_since("v1", time)) == std::vector<std::string>{"new"});
}

TEST_CASE("the oldest steps are forgotten") {
  TraceLog log(2);
  for (const char* text : {"a", "b", "c"}) log.add("v1", Clock::now(), {.text = text});
  CHECK(texts(log.steps_since("v1", {})) == std::vector<std::string>{"b", "c"});
}

TEST_CASE("a subject belongs to its thread") {
  const TraceSubject subject("v1");
  std::string seen = "?";
  std::thread([&] { seen = TraceSubject::current(); }).join();
  CHECK(seen.empty());
  CHECK(TraceSubject::current() == "v1");
}

TEST_CASE("a run that throws is a step, too") {
  Refusing inner;
  TraceLog log;
  std::string line;
  TracingRunner runner(inner, log, [&](const std::string& text) { line = text; });
  const TraceSubject subject("v1");
  CHECK_THROWS_AS(runner.run(command("a")), plexvol::Error);
  REQUIRE(log.steps_since("v1", {}).size() == 1);
  CHECK(log.steps_since("v1", {}).front().exit_code == -1);
  CHECK(line.find("v1: a: exit code -1") == 0);
  CHECK(line.find("it hangs") != std::string::npos);
}

TEST_CASE("every run is a line for the debug log, without secrets") {
  ScriptedRunner inner;
  inner.expect({"/sbin/drbdsetup", "--shared-secret=abc"},
               {.exit_code = 10, .out = "", .err = "shared-secret=abc is bad"});
  TraceLog log;
  std::string line;
  TracingRunner runner(inner, log, [&](const std::string& text) { line = text; });
  runner.run({.argv = {"/sbin/drbdsetup", "--shared-secret=abc"}, .input = {}});
  CHECK(line.find("drbdsetup --shared-secret=...: exit code 10, ") == 0);
  CHECK(line.find("abc") == std::string::npos);
}
