// Tells watches inside one process which keys changed.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/store/store.h"

namespace plexvol::store {

// Each watch has a thread of its own, so a slow handler holds up nobody else; a key that changes
// again before the handler has heard of it is told once. Watches may outlive the hub.
class ChangeHub {
 public:
  ChangeHub();
  ~ChangeHub();
  ChangeHub(const ChangeHub&) = delete;
  ChangeHub& operator=(const ChangeHub&) = delete;

  std::unique_ptr<Watch> add(const std::string& prefix, ChangeHandler on_change);
  void publish(const std::vector<std::string>& keys);

 private:
  class HubWatch;
  struct Watches;
  std::shared_ptr<Watches> watches_;
};

}  // namespace plexvol::store
