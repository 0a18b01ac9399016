// The names of the volumes to look at next. Everything that happens anywhere ends in `add`; workers
// take names out.
//
// A name is with at most one worker at a time; added meanwhile, it comes again right after.
// Failures come back later and later. The only state that the agent's threads share, besides the
// mount calls.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

namespace plexvol::reconcile {

class Queue {
 public:
  using Clock = std::chrono::steady_clock;

  void add(const std::string& volume);  // now
  // Waits for the next name; nullopt after stop(). The name is the caller's until it gives it back.
  std::optional<std::string> take();
  void done(const std::string& volume);
  // Gives it back to be taken again in a while: min, 2*min, 4*min ... max, with jitter, as long as
  // it is not done().
  void retry(const std::string& volume, Clock::duration min, Clock::duration max);
  void stop();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Clock::time_point> due_;
  std::set<std::string> taken_;
  std::map<std::string, unsigned> failures_;
  bool stopped_ = false;
};

}  // namespace plexvol::reconcile
