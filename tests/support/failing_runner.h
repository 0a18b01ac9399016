// Fault injection: passes commands on to another Runner, but the k-th one fails.
//
//   for (std::size_t k = 1;; ++k) {
//     FailingRunner failing(fake, k);
//     ... do the work once, whatever comes ...
//     if (failing.count() < k) break;  // there is no k-th command any more
//     ... do it again, and check that it ends as it would have without the failure ...
//   }
#pragma once

#include <cstddef>
#include <utility>

#include "agent/process/runner.h"

namespace plexvol::support {

enum class FailsWhen {
  Before,  // the command has had no effect
  After,   // it has had its effect, only its answer is lost
};

class FailingRunner : public process::Runner {
 public:
  // `k` counts from 1.
  FailingRunner(process::Runner& inner, std::size_t k, FailsWhen when = FailsWhen::Before,
                process::Output failure = {.exit_code = 5, .out = {}, .err = "injected failure"})
      : inner_(inner), k_(k), when_(when), failure_(std::move(failure)) {}

  process::Output run(const process::Command& command) override {
    if (++count_ != k_) return inner_.run(command);
    if (when_ == FailsWhen::After) inner_.run(command);
    return failure_;
  }

  std::size_t count() const { return count_; }

 private:
  process::Runner& inner_;
  std::size_t k_;
  FailsWhen when_;
  process::Output failure_;
  std::size_t count_ = 0;
};

}  // namespace plexvol::support
