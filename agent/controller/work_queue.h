// Names of objects to look at next, for several workers.
//
// A name is with one worker at a time; added meanwhile, it comes again when that one is done. What
// failed comes again later and later. Events only add names: the worker that takes one looks at the object itself.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>

namespace plexvol::controller {

class WorkQueue {
 public:
  using Clock = std::chrono::steady_clock;
  struct Pauses {
    Clock::duration first = std::chrono::seconds(1);
    Clock::duration longest = std::chrono::minutes(5);
  };

  explicit WorkQueue(Pauses pauses) : pauses_(pauses) {}

  void add(const std::string& name) { add_after(name, Clock::duration::zero()); }
  // Not later than it would come anyway.
  void add_after(const std::string& name, Clock::duration pause);
  // Waits; nullopt when stopped. The name is the caller's until done() or retry().
  std::optional<std::string> take(const std::stop_token& stop);
  void done(const std::string& name);
  // Gives it back, to come again after a pause that doubles each time until it is done().
  void retry(const std::string& name);

 private:
  void put(const std::string& name, Clock::time_point at);  // with the mutex held

  const Pauses pauses_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Clock::time_point> due_;
  std::set<std::pair<Clock::time_point, std::string>> order_;  // of due_, without what is taken
  std::set<std::string> taken_;
  std::map<std::string, unsigned> failures_;
};

}  // namespace plexvol::controller
