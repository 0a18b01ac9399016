// The steps of a call and their durations, for a trace.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "agent/base/deadline.h"

namespace plexvol::mounts {

struct Steps {
  std::function<void(const std::string& what)> note = [](const std::string&) {};
  std::function<void(const std::string& what, base::Clock::duration took)> step =
      [](const std::string&, base::Clock::duration) {};
};

// Tells of a step when it ends, also when it ends by an exception.
class TimedStep {
 public:
  TimedStep(const Steps& steps, std::string what) : steps_(steps), what_(std::move(what)) {}
  TimedStep(const TimedStep&) = delete;
  TimedStep& operator=(const TimedStep&) = delete;
  ~TimedStep() { steps_.step(what_, base::Clock::now() - begin_); }

 private:
  const Steps& steps_;
  std::string what_;
  base::Clock::time_point begin_ = base::Clock::now();
};

}  // namespace plexvol::mounts
