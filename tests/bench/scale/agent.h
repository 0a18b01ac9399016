// The real agent over an idle node: its store, reconciler, workers and report, put together as its
// main does. Without the faces: no socket, no calls.
#pragma once

#include <memory>
#include <string>

#include "tests/bench/scale/landscape.h"

namespace plexvol::scale {

struct AgentSettings {
  std::string endpoint;   // of etcd
  std::string directory;  // for the files of all
};

class Agent {
 public:
  Agent(const AgentSettings& settings, const Landscape& landscape, unsigned node);
  ~Agent();

  // At each of its volumes.
  bool has_looked_at_all() const;

 private:
  class Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace plexvol::scale
