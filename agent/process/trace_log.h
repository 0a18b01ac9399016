// What the tools did for one volume lately: the steps in an error message, and the debug log.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "agent/process/runner.h"

namespace plexvol::process {

struct Step {
  std::string text;  // the command, without secrets
  std::chrono::microseconds took{0};
  int exit_code = 0;  // -1: it could not be started, or was ended
};

// The last tool runs of this program. Any number of threads may use it.
class TraceLog {
 public:
  explicit TraceLog(std::size_t capacity = 512);

  void add(const std::string& subject, std::chrono::steady_clock::time_point started, Step step);
  // Oldest first. Those that began at `since` or later.
  std::vector<Step> steps_since(const std::string& subject,
                                std::chrono::steady_clock::time_point since) const;

 private:
  struct Entry {
    std::string subject;
    std::chrono::steady_clock::time_point started;
    Step step;
  };

  std::size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
};

// While it lives, what this thread runs is run for `subject` (a volume's name). They may be nested.
class TraceSubject {
 public:
  explicit TraceSubject(std::string subject);
  ~TraceSubject();
  TraceSubject(const TraceSubject&) = delete;
  TraceSubject& operator=(const TraceSubject&) = delete;

  static const std::string& current();  // "" outside of any

 private:
  std::string former_;
};

// Records every run of the inner runner in the log, and gives it as a line to the sink.
class TracingRunner : public Runner {
 public:
  TracingRunner(Runner& inner, TraceLog& log, std::function<void(const std::string& line)> sink);
  Output run(const Command& command) override;

 private:
  void record(std::chrono::steady_clock::time_point started, const Command& command, int exit_code,
              const std::string& said);

  Runner& inner_;
  TraceLog& log_;
  std::function<void(const std::string&)> sink_;
};

}  // namespace plexvol::process
