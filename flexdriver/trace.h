// The steps of a call with their durations, on stderr, for a person who asked for them (--trace,
// PLEXVOL_TRACE=1). Never without being asked: the kubelet reads stderr together with the reply.
#pragma once

#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "flexdriver/deadline.h"

namespace plexvol::driver {

class Trace {
 public:
  explicit Trace(bool enabled) : enabled_(enabled), begin_(Clock::now()) {}

  bool enabled() const { return enabled_; }
  void note(const std::string& what) const;
  void step(const std::string& what, Clock::duration took) const;
  // What the agent ran for this call.
  void agent_steps(const std::vector<api::TraceStep>& steps) const;

 private:
  void print(const std::string& took, const std::string& what) const;

  bool enabled_;
  Clock::time_point begin_;
};

// Reports a step when it ends, also when it ends by an exception.
class TracedStep {
 public:
  TracedStep(const Trace& trace, std::string what) : trace_(trace), what_(std::move(what)) {}
  TracedStep(const TracedStep&) = delete;
  TracedStep& operator=(const TracedStep&) = delete;
  ~TracedStep() {
    if (trace_.enabled()) trace_.step(what_, Clock::now() - begin_);
  }

 private:
  const Trace& trace_;
  std::string what_;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace plexvol::driver
