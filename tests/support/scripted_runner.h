// A Runner that answers from a script: the commands that are expected, in their order.
#pragma once

#include <cstddef>
#include <deque>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "agent/process/runner.h"

namespace plexvol::support {

class ScriptedRunner : public process::Runner {
 public:
  ScriptedRunner& expect(std::vector<std::string> argv, process::Output output = {}) {
    script_.push_back({std::move(argv), std::move(output)});
    return *this;
  }

  process::Output run(const process::Command& command) override {
    calls_.push_back(command);
    if (script_.empty()) {
      throw std::logic_error("this command was not expected: " + process::to_text(command));
    }
    Expected next = std::move(script_.front());
    script_.pop_front();
    if (next.argv != command.argv) {
      throw std::logic_error("expected: " + process::to_text({.argv = next.argv, .input = {}}) +
                             "\ncalled:   " + process::to_text(command));
    }
    return next.output;
  }

  const std::vector<process::Command>& calls() const { return calls_; }
  // Every expected command was called.
  bool is_done() const { return script_.empty(); }

 private:
  struct Expected {
    std::vector<std::string> argv;
    process::Output output;
  };

  std::deque<Expected> script_;
  std::vector<process::Command> calls_;
};

}  // namespace plexvol::support
