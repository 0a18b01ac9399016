// The names of the volumes to look at next. Everything that happens anywhere ends in `add`; workers
// take names out.
//
// A name is with at most one worker at a time; added meanwhile, it comes again right after.
// Failures come back later and later. The only state that the agent's threads share, besides the
// mount calls.
//
// When all workers are busy for long, a worker in reserve may examine what is overdue. It does not
// do the work, so the name keeps its place; nobody examines it twice unless it is added again.
//
// Who looks at all from time to time reads the store for many volumes at once: it claims them, and
// offers each with what was read. That lasts until something happens to the volume: what was read
// before an event is never looked at after it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/store/typed_store.h"

namespace plexvol::reconcile {

class Queue {
 public:
  using Clock = std::chrono::steady_clock;
  using Ahead = std::shared_ptr<const store::VolumeView>;
  struct Item {
    std::string name;
    Ahead ahead;           // null: nothing was read ahead
    Clock::time_point at;  // when it was due
  };

  void add(const std::string& volume);  // now
  // Waits for the next name; nullopt after stop(). The name is the caller's until it gives it back.
  std::optional<Item> take();
  // Waits for a name that has been due for this long and was not examined yet; nullopt after
  // stop().
  std::optional<Item> take_overdue(Clock::duration by);
  // Gives back what was examined and has to be worked on still.
  void examined(const Item& item);
  void done(const std::string& volume);
  // Gives it back to be taken again in a while: min, 2*min, 4*min ... max, with jitter, as long as
  // it is not done().
  void retry(const std::string& volume, Clock::duration min, Clock::duration max);
  // Adds all, and answers those that would come now because of this only. They are the caller's
  // until it offers them; where that cannot be, a name would never come again.
  std::vector<std::string> claim(const std::vector<std::string>& volumes) noexcept;
  // Gives a claimed one back, to be taken now.
  void offer(const std::string& volume, Ahead ahead) noexcept;
  void stop();

 private:
  struct Due {
    Clock::time_point at;
    Ahead ahead;
    bool examined = false;
  };
  using Dues = std::map<std::string, Due>;

  // All with the mutex held.
  std::optional<std::string> find_overdue(Clock::duration by) const;
  Item take_out(Dues::iterator due);
  void put(const std::string& volume, Due due);  // not due yet
  void remove(Dues::iterator due);
  void give_back(const std::string& volume);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable stopping_;
  Dues due_;
  std::set<std::pair<Clock::time_point, std::string>> order_;  // of what is due and not taken
  std::set<std::string> taken_;
  std::map<std::string, unsigned> failures_;
  bool stopped_ = false;
};

}  // namespace plexvol::reconcile
