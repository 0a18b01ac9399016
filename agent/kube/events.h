// Events on Kubernetes objects, for `kubectl describe`.
//
// A repeated one (same object, type, reason and message) raises the count of the one before by a
// patch, as kubectl shows it ("x3 over 10m"). A thread of its own sends them: telling never waits,
// and what cannot be told is dropped after a while. Bounded: at most `kMaxWaiting` wait, at most one
// request per second for one object on average (25 at once).
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "agent/kube/client.h"
#include "agent/kube/objects.h"

namespace plexvol::kube {

enum class EventType { Normal, Warning };

class Events {
 public:
  static constexpr std::size_t kMaxWaiting = 1000;

  Events(Client& client, std::string component, std::string host);
  ~Events();  // sends what waits, for at most a second
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  // Of an object without a namespace in `default`, as Kubernetes itself does.
  void tell(const Reference& about, EventType type, const std::string& reason,
            const std::string& message);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace plexvol::kube
