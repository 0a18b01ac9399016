// The steps of a call with their durations, on stderr, for a person who asked for them (--trace,
// PLEXVOL_TRACE=1). Never without being asked: the kubelet reads stderr together with the reply.
#pragma once

#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/base/deadline.h"
#include "agent/client/agent_client.h"
#include "agent/mounts/steps.h"

namespace plexvol::driver {

class Trace {
 public:
  explicit Trace(bool enabled) : enabled_(enabled), begin_(base::Clock::now()) {}

  bool enabled() const { return enabled_; }
  void note(const std::string& what) const;
  void step(const std::string& what, base::Clock::duration took) const;
  // The same for what mounts and unmounts. It must not outlive this object.
  mounts::Steps steps() const;
  // The same for what asks the agent, and for what that runs.
  client::Listener listener() const;

 private:
  void agent_steps(const std::vector<api::TraceStep>& steps) const;
  void print(const std::string& took, const std::string& what) const;

  bool enabled_;
  base::Clock::time_point begin_;
};

}  // namespace plexvol::driver
