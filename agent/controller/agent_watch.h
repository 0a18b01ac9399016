// Hears from the node's agent: whether it is there, and what volumes there are.
#pragma once

#include <atomic>
#include <thread>

#include "agent/base/deadline.h"
#include "agent/controller/known_volumes.h"
#include "agent/controller/node_agent.h"

namespace plexvol::controller {

// Whether the agent of this node answers: a controller without one cannot lead.
class AgentPulse {
 public:
  explicit AgentPulse(const NodeAgent& agent);
  ~AgentPulse() = default;
  AgentPulse(const AgentPulse&) = delete;
  AgentPulse& operator=(const AgentPulse&) = delete;

  // It has answered within the last ten seconds.
  bool beats() const;

 private:
  void run(const std::stop_token& stop);

  const NodeAgent& agent_;
  std::atomic<base::Clock::rep> last_ = 0;
  std::jthread thread_;
};

// Lists all volumes whenever something has changed, once a second at most.
class VolumeWatch {
 public:
  VolumeWatch(const NodeAgent& agent, KnownVolumes& known);
  ~VolumeWatch() = default;
  VolumeWatch(const VolumeWatch&) = delete;
  VolumeWatch& operator=(const VolumeWatch&) = delete;

 private:
  void run(const std::stop_token& stop);

  const NodeAgent& agent_;
  KnownVolumes& known_;
  std::jthread thread_;
};

}  // namespace plexvol::controller
