// The mount calls that are under way on this node, from the driver's question to its word that the
// mount stands.
//
// While a call is known here, the volume is not given up (contract facts 27 and 43). Nothing of
// this is stored: a call lives as long as the connection of the driver that makes it, so a driver
// or an agent that dies takes its calls along, and the kernel's mount table tells the rest.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "agent/api/error.h"

namespace plexvol::mounting {

// The device that a waiting call may mount now: checked, and with its number read from the kernel.
struct Prepared {
  std::string device;
  unsigned major = 0;
  unsigned minor = 0;
};

struct Counts {
  unsigned waiting = 0;   // want the device prepared
  unsigned mounting = 0;  // have been told the device, and may call mount(2) at any moment
};

class MountCalls {
 public:
  // `on_change` is called, outside of any lock, with the volume whose calls changed.
  explicit MountCalls(std::function<void(const std::string& volume)> on_change);

  std::string begin(const std::string& volume);
  // The volume of the call, or nullopt when it is not known (any more).
  std::optional<std::string> find_volume(const std::string& id) const;
  void end(const std::string& id);  // no error when it is not known

  // For the reconciler.
  Counts counts(const std::string& volume) const;
  void complete(const std::string& volume, const Prepared& prepared);  // all that wait
  // What stands in the way of those that wait. Unavailable: they go on waiting; else they fail with
  // it.
  void report(const std::string& volume, const Error& error);

  // Its wait() throws as at its deadline, now or when it comes. No error when the call is not
  // known.
  void interrupt(const std::string& id);
  // Throws the reported error, or Unavailable at the deadline with what was in the way last.
  Prepared wait(const std::string& id, std::chrono::steady_clock::time_point deadline);

 private:
  struct Call {
    std::string volume;
    std::optional<Prepared> prepared;
    std::optional<Error> error;
    bool interrupted = false;
  };

  std::function<void(const std::string&)> on_change_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Call> calls_;
  unsigned long next_id_ = 0;
};

}  // namespace plexvol::mounting
