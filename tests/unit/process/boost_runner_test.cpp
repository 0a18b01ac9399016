#include "agent/process/boost_runner.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "agent/api/error.h"
#include "agent/base/fork.h"
#include "tests/support/events.h"
#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::process::BoostRunner;
using plexvol::process::Command;
using plexvol::process::Output;
using plexvol::support::Fifo;
using plexvol::support::TemporaryDirectory;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

Command shell(const std::string& script, milliseconds stall_limit = seconds(30)) {
  return {.argv = {"/bin/sh", "-c", script}, .input = {}, .stall_limit = stall_limit};
}

Error error_of(const Command& command) {
  BoostRunner runner;
  try {
    runner.run(command);
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::NotFound, "it did not throw"};
}

}  // namespace

TEST_CASE("a tool's output, errors and exit code come back, and how long it took") {
  BoostRunner runner;
  const Output output = runner.run(shell("echo out; echo err >&2; exit 7"));
  CHECK(output.out == "out\n");
  CHECK(output.err == "err\n");
  CHECK(output.exit_code == 7);
  CHECK(output.took.count() > 0);
}

TEST_CASE("a tool that a signal ended has exit code 128 and the signal") {
  BoostRunner runner;
  CHECK(runner.run(shell("kill -9 $$")).exit_code == 128 + SIGKILL);
}

TEST_CASE("a tool sees an environment of LC_ALL and PATH only") {
  BoostRunner runner;
  CHECK(runner.run({.argv = {"/usr/bin/env"}, .input = {}}).out ==
        "LC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n");
}

TEST_CASE("a tool has no descriptor but 0 to 2, even if one was made without close-on-exec") {
  const int leak = dup(STDOUT_FILENO);
  REQUIRE(leak > STDERR_FILENO);
  BoostRunner runner;
  const Output output = runner.run({.argv = {"/bin/ls", "/proc/self/fd"}, .input = {}});
  close(leak);
  // 3 is the directory that ls reads.
  CHECK(output.out == "0\n1\n2\n3\n");
}

TEST_CASE("a tool starts with no signal ignored or blocked") {
  BoostRunner runner;  // ignores SIGPIPE itself
  sigset_t term;
  sigset_t former;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, &former);
  const Output output =
      runner.run({.argv = {"/bin/grep", "-E", "SigIgn|SigBlk", "/proc/self/status"}, .input = {}});
  pthread_sigmask(SIG_SETMASK, &former, nullptr);
  const auto mask_of = [&](const std::string& name) {
    const std::size_t at = output.out.find(name);
    REQUIRE(at != std::string::npos);
    // Signals from 32 on may be ignored by whoever started the tests; libc keeps two of them for
    // itself.
    return std::stoull(output.out.substr(at + name.size(), 16), nullptr, 16) & 0x7fffffffU;
  };
  CHECK(mask_of("SigBlk:\t") == 0);
  CHECK(mask_of("SigIgn:\t") == 0);
}

TEST_CASE("a tool may read and print more than a pipe holds") {
  BoostRunner runner;
  const std::string input(1 << 20, 'x');
  const Output output = runner.run({.argv = {"/bin/cat"}, .input = input});
  CHECK(output.exit_code == 0);
  CHECK(output.out == input);
}

TEST_CASE("a full stderr does not block a tool that then prints to stdout") {
  BoostRunner runner;
  const Output output =
      runner.run(shell("head -c 3000000 /dev/zero >&2; head -c 1000000 /dev/zero"));
  CHECK(output.out.size() == 1'000'000);
  CHECK(output.err.size() == 3'000'000);
}

TEST_CASE("a tool need not read its input") {
  BoostRunner runner;
  CHECK(runner.run({.argv = {"/bin/true"}, .input = std::string(1 << 20, 'x')}).exit_code == 0);
}

TEST_CASE("a tool without input reads the end of it at once") {
  BoostRunner runner;
  CHECK(runner.run({.argv = {"/bin/cat"}, .input = {}}).out.empty());
}

TEST_CASE("a tool that closes its output may go on") {
  BoostRunner runner;
  CHECK(runner.run(shell("exec >&- 2>&-; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 5"))
            .exit_code == 5);
}

TEST_CASE("a tool that does not exist is an error that names it") {
  const Error error = error_of({.argv = {"/sbin/no-such-tool"}, .input = {}});
  CHECK(error.code() == ErrorCode::Internal);
  CHECK(std::string(error.what()).find("cannot start /sbin/no-such-tool") == 0);
}

TEST_CASE("a tool that does not exist leaves no dead child behind") {
  const pid_t agent = plexvol::base::fork_child([] {
    error_of({.argv = {"/sbin/no-such-tool"}, .input = {}});
    return waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD ? 0 : 1;
  });
  CHECK(plexvol::base::wait_for_end(agent) == 0);
}

TEST_CASE("a tool is never looked up in a path") {
  CHECK(error_of({.argv = {"true"}, .input = {}}).code() == ErrorCode::Internal);
  CHECK(error_of({.argv = {}, .input = {}}).code() == ErrorCode::Internal);
}

TEST_CASE("a tool that makes no progress is killed together with its children") {
  const TemporaryDirectory directory;
  const Fifo fifo(directory.path() / "fifo");
  // The child holds the fifo open and none of the pipes, as a daemon would.
  const std::string script =
      "sleep 300 >" + fifo.path() + " 2>/dev/null & echo started >" + fifo.path() + "; wait";
  const Error error = error_of(shell(script, milliseconds(200)));
  CHECK(error.code() == ErrorCode::Unavailable);
  CHECK(std::string(error.what()).find("made no progress for 200 ms and was killed") !=
        std::string::npos);
  CHECK(fifo.read_line() == "started");
  CHECK(fifo.ends_within());
}

TEST_CASE("a tool that computes without a word is not stalled") {
  BoostRunner runner;
  const Output output =
      runner.run({.argv = {"/usr/bin/awk", "BEGIN { while (i < 1e8) i++; print \"done\" }"},
                  .input = {},
                  .stall_limit = milliseconds(800)});
  CHECK(output.out == "done\n");
}

TEST_CASE("a tool that spins without reading or writing anything is ended [S6]") {
  // Several, so that the group gets its share of a busy machine, too.
  const Error error =
      error_of({.argv = {"/bin/bash", "-c",
                         "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; wait"},
                .input = {},
                .stall_limit = milliseconds(600)});
  CHECK(error.code() == ErrorCode::Unavailable);
  CAPTURE(std::string(error.what()));
  CHECK(std::string(error.what())
            .find("has used 6 s of CPU time without reading or writing anything and was killed") !=
        std::string::npos);
}

TEST_CASE("a tool can be given a descriptor for its report alone [O1]") {
  BoostRunner runner;
  const Command command{
      .argv = {"/bin/bash", "-c",
               "echo stray; echo report >&$REPORT_FD; echo err >&2; ls /proc/self/fd >&2"},
      .input = {},
      .report_variable = "REPORT_FD"};
  const Output output = runner.run(command);
  CHECK(output.out == "stray\n");
  CHECK(output.report == "report\n");
  CHECK(output.err.starts_with("err\n"));
  // One more than 0 to 2, and the directory that ls reads.
  CHECK(std::count(output.err.begin(), output.err.end(), '\n') == 6);
}

TEST_CASE("lvm2 keeps everything but its report off the report's descriptor [O1]") {
  BoostRunner runner;
  const Command command{
      .argv = {"/sbin/pvs", "--driverloaded", "n", "--config",
               "devices{use_devicesfile=0 filter=[\"r|.*|\"]} global{locking_type=4}", "-vv",
               "--reportformat", "json", "-o", "pv_name,vg_name"},
      .input = {},
      .report_variable = "LVM_REPORT_FD"};
  const Output output = runner.run(command);
  REQUIRE_MESSAGE(output.exit_code == 0, output.err);
  CHECK(output.report.find("\"report\": [") != std::string::npos);
  CHECK(output.report.find("etting") == std::string::npos);
  CHECK(output.err.find("leaked") == std::string::npos);
  CHECK(output.out.find("\"report\"") == std::string::npos);
}

TEST_CASE("a report that is too long is an error, too [O1]") {
  const Command command{.argv = {"/bin/bash", "-c", "exec cat /dev/zero >&$REPORT_FD"},
                        .input = {},
                        .report_variable = "REPORT_FD"};
  CHECK(std::string(error_of(command).what()).find("printed more than") != std::string::npos);
}

TEST_CASE("while a tool hangs in the kernel, no other one is started for its subject [O13]") {
  if (!plexvol::support::can_use_loop_devices()) return;
  const TemporaryDirectory directory;
  const plexvol::support::LoopDevice device(directory.path() / "image", 64U << 20U);
  BoostRunner runner;
  plexvol::process::run_checked(
      runner, {.argv = {"/sbin/mkfs.ext4", "-q", "-F", device.path()}, .input = {}});
  const plexvol::support::Mount mount(device.path(), directory.path() / "mnt", "ext4");
  plexvol::process::run_checked(runner,
                                {.argv = {"/sbin/fsfreeze", "-f", mount.point()}, .input = {}});
  Command command{.argv = {"/usr/bin/touch", mount.point() + "/file"},
                  .input = {},
                  .stall_limit = milliseconds(200),
                  .subject = "volume group vg0"};
  const auto message = [&] {
    try {
      runner.run(command);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::Unavailable);
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string first = message();
  const std::string second = message();
  command.subject = "volume group vg1";
  command.argv = {"/bin/true"};
  CHECK(message().empty());
  plexvol::process::run_checked(runner,
                                {.argv = {"/sbin/fsfreeze", "-u", mount.point()}, .input = {}});
  CHECK(first.find("and cannot be killed: process ") != std::string::npos);
  CHECK(second.starts_with("volume group vg0: an earlier tool still hangs in the kernel"));
  CHECK(second.find("(touch " + mount.point() + "/file)") != std::string::npos);
  // It ends once the device answers again; then its subject is free.
  command.subject = "volume group vg0";
  while (!message().empty()) std::this_thread::sleep_for(milliseconds(10));
}

TEST_CASE("a child of a tool that keeps its pipes open is not waited for") {
  const auto started = std::chrono::steady_clock::now();
  BoostRunner runner;
  const Output output = runner.run(shell("sleep 300 & echo $!"));
  CHECK(std::chrono::steady_clock::now() - started < seconds(60));
  REQUIRE_FALSE(output.out.empty());
  const pid_t left = std::stoi(output.out);
  REQUIRE(left > 1);
  CHECK(kill(left, SIGKILL) == 0);
}

TEST_CASE("more output than anyone could want is an error") {
  const Error error =
      error_of({.argv = {"/usr/bin/head", "-c", "50000000", "/dev/zero"}, .input = {}});
  CHECK(error.code() == ErrorCode::Internal);
  CHECK(std::string(error.what()).find("printed more than") != std::string::npos);
}

TEST_CASE("a tool dies with its agent, also when that is killed") {
  const TemporaryDirectory directory;
  const Fifo fifo(directory.path() / "fifo");
  const pid_t agent = fork();
  if (agent == 0) {
    BoostRunner runner;
    runner.run(shell("exec 9>" + fifo.path() + "; echo started >&9; exec sleep 300"));
    _exit(0);
  }
  CHECK(fifo.read_line() == "started");
  kill(agent, SIGKILL);
  waitpid(agent, nullptr, 0);
  CHECK(fifo.ends_within());
}

TEST_CASE("many threads run tools at once") {
  BoostRunner runner;
  std::vector<int> right(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < right.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 10; ++round) {
        const std::string text = std::to_string(i) + "." + std::to_string(round);
        const Output output = runner.run({.argv = {"/bin/cat"}, .input = text});
        if (output.out == text && output.exit_code == 0) ++right[i];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == std::vector<int>(8, 10));
}
