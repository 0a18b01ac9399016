// The threads that keep this node's volumes at what the store says: workers over one queue, and
// what fills it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "agent/mounting/pod_directories.h"
#include "agent/reconcile/queue.h"
#include "agent/reconcile/reconciler.h"

namespace plexvol::reconcile {

struct WorkerSettings {
  std::string here;
  unsigned workers = 4;
  bool watch_drbd = true;  // whenever the module is loaded, be it later
  // All is looked at again so often: an event that was never sent must not be missed for ever.
  std::chrono::seconds patrol{60};
  // At the directories that volumes were mounted on.
  std::function<mounting::Look()> look_at_directories = [] { return mounting::Look::Clear; };
};

// Hints come from the store (assigned/<here>/), DRBD's events and the mount table; all end in
// queue.add. The destructor waits for the passes under way.
class Workers {
 public:
  // A name in the queue that stands for every volume whose mounts have changed: no volume's name
  // begins with a slash.
  static constexpr const char* kMounts = "/mounts";
  static constexpr const char* kResyncs = "/resyncs";  // for whose turn it is
  // For the directories that volumes were mounted on.
  static constexpr const char* kDirectories = "/directories";

  Workers(Reconciler& reconciler, Queue& queue, store::TypedStore& store, WorkerSettings settings);
  ~Workers();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace plexvol::reconcile
