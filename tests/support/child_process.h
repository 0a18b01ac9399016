// A program started by a test, which dies with the test whatever happens to it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace plexvol::support {

class ChildProcess {
 public:
  // Its stdout and stderr are read by us. The environment is only what is given ("NAME=value").
  explicit ChildProcess(const std::vector<std::string>& argv,
                        const std::vector<std::string>& environment = {});
  ~ChildProcess();  // kills it
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void signal(int number) const;
  // SIGSTOP, and waits until all its threads have stopped.
  void stop() const;
  void kill();  // SIGKILL, and waits for its end
  // Waits for its end; the exit code, or 128 + signal.
  int wait();

  // Reads its output up to and including `text`; false when it ended, or fell silent for
  // `patience`, before.
  bool read_until(const std::string& text,
                  std::chrono::milliseconds patience = std::chrono::seconds(30));
  void read_to_end();
  const std::string& output() const { return output_; }

 private:
  bool read_more(std::chrono::milliseconds patience);

  pid_t pid_ = -1;
  int exit_code_ = -1;
  int pipe_ = -1;
  std::string output_;
};

// Runs it to its end; throws std::runtime_error with its output unless it ends with 0.
std::string run_tool(const std::vector<std::string>& argv,
                     const std::vector<std::string>& environment = {});

// This test program, running only the given test (which is marked to be skipped otherwise).
ChildProcess run_own_test(const std::string& test_name,
                          const std::vector<std::string>& environment);

// Of our own environment; throws std::runtime_error when it is not set.
std::string variable(const char* name);

}  // namespace plexvol::support
