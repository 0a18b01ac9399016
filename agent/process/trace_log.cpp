#include "agent/process/trace_log.h"

#include <fmt/core.h>

#include <exception>
#include <utility>

namespace plexvol::process {

namespace {

using Clock = std::chrono::steady_clock;

std::string& current_subject() {
  thread_local std::string subject;
  return subject;
}

}  // namespace

TraceLog::TraceLog(std::size_t capacity) : capacity_(capacity) {}

void TraceLog::add(const std::string& subject, Clock::time_point started, Step step) {
  const std::lock_guard lock(mutex_);
  entries_.push_back({.subject = subject, .started = started, .step = std::move(step)});
  if (entries_.size() > capacity_) entries_.pop_front();
}

std::vector<Step> TraceLog::steps_since(const std::string& subject, Clock::time_point since) const {
  const std::lock_guard lock(mutex_);
  std::vector<Step> steps;
  for (const Entry& entry : entries_) {
    if (entry.subject == subject && entry.started >= since) steps.push_back(entry.step);
  }
  return steps;
}

TraceSubject::TraceSubject(std::string subject)
    : former_(std::exchange(current_subject(), std::move(subject))) {}

TraceSubject::~TraceSubject() {
  current_subject() = std::move(former_);
}

const std::string& TraceSubject::current() {
  return current_subject();
}

TracingRunner::TracingRunner(Runner& inner, TraceLog& log,
                             std::function<void(const std::string&)> sink)
    : inner_(inner), log_(log), sink_(std::move(sink)) {}

Output TracingRunner::run(const Command& command) {
  const Clock::time_point started = Clock::now();
  try {
    Output output = inner_.run(command);
    record(started, command, output.exit_code, output.exit_code == 0 ? "" : said(output));
    return output;
  } catch (const std::exception& error) {
    record(started, command, -1, error.what());
    throw;
  }
}

void TracingRunner::record(Clock::time_point started, const Command& command, int exit_code,
                           const std::string& said) {
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started);
  Step step{.text = to_text(command), .took = took, .exit_code = exit_code};
  if (sink_) {
    std::string line =
        fmt::format("{}: exit code {}, {} ms", step.text, exit_code, took.count() / 1000);
    if (!TraceSubject::current().empty())
      line = fmt::format("{}: {}", TraceSubject::current(), line);
    if (!said.empty()) line += ": " + said;
    sink_(line);
  }
  log_.add(TraceSubject::current(), started, std::move(step));
}

}  // namespace plexvol::process
