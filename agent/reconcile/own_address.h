// This node's address for replication: the configured one, else that of its default route, which
// may come after the agent.
#pragma once

#include <functional>
#include <mutex>
#include <string>

namespace plexvol::reconcile {

// From any thread.
class OwnAddress {
 public:
  // `find` answers the default route's source address, "" while there is none. It is not asked when
  // `configured` is not empty.
  OwnAddress(std::string configured, std::function<std::string()> find);

  // Asks. One that is known stays: peers are connected to it, and a second route is no reason to
  // leave them. That the route's is another by now is told in the log, once for each.
  std::string look();
  std::string get() const;  // as the last look found it; "": unknown
  // What the default route's is by now, when that is another one; "" otherwise.
  std::string changed_to() const;

 private:
  const bool is_configured_;
  const std::function<std::string()> find_;
  mutable std::mutex mutex_;
  std::string address_;
  std::string changed_to_;
};

}  // namespace plexvol::reconcile
