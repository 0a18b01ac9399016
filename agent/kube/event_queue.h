// Events that wait to be sent, and those that were sent before. Private to agent/kube; knows neither
// time nor the server, which are given.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "agent/base/deadline.h"
#include "agent/kube/events.h"

namespace plexvol::kube {

// What makes two events the same, but for the version of the object.
struct EventText {
  Reference about;
  EventType type = EventType::Normal;
  std::string reason;
  std::string message;

  std::string object_key() const;
  std::string key() const;
};

// Not for several threads at once.
class EventQueue {
 public:
  using Time = base::Deadline;
  static constexpr std::chrono::minutes kLongestWait{5};
  static constexpr std::size_t kMostRemembered = 4096;
  static constexpr int kAtOnce = 25;                 // of one object
  static constexpr std::chrono::seconds kRefill{1};  // until there may be one more

  struct Waiting {
    EventText text;
    int count = 1;
    std::int64_t first_at = 0;  // seconds since 1970
    std::int64_t last_at = 0;
    Time since;
    std::string name{};  // that it was to be created with before it was put back
  };

  // False: there are too many, and this one was dropped. One that waits already is counted.
  bool add(EventText text, Time now, std::int64_t seconds_since_1970);

  // Drops those that waited for too long.
  void drop_old(Time now);
  // Takes the first one whose object may have one more.
  std::optional<Waiting> take(Time now);
  // One that was taken and could not be sent: it is the first again.
  void put_back(Waiting waiting);
  // When there may be something to take; nullopt: nothing waits.
  std::optional<Time> next(Time now) const;
  bool is_empty() const { return waiting_.empty(); }

  // Of events that were sent: what the server knows them by.
  struct Sent {
    std::string name;
    int count = 0;
  };
  // nullopt: not sent so far, or forgotten.
  std::optional<Sent> recall(const EventText& text) const;
  void remember(const EventText& text, Sent sent);

 private:
  struct Allowance {
    int left = kAtOnce;
    Time counted_at;
  };
  struct Memory {
    Sent sent;
    std::list<std::string>::iterator place;
  };

  static int allowed(const Allowance& allowance, Time now);
  void forget_idle(Time now);

  std::deque<Waiting> waiting_;
  std::map<std::string, Allowance> allowances_;  // by object
  std::map<std::string, Memory> sent_;
  std::list<std::string> order_;  // keys of sent_, the one used last at the front
};

}  // namespace plexvol::kube
