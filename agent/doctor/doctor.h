// A look at everything that Plexvol needs on this node, before the agent starts or while it runs.
// Changes nothing; loads a kernel module at most. One line for each thing, also for those in order.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/drbd/drbd.h"
#include "agent/pods/pods.h"
#include "agent/process/runner.h"
#include "agent/reconcile/pools.h"
#include "agent/store/typed_store.h"

namespace plexvol::doctor {

// Where the host's own files are; elsewhere only in tests.
struct Places {
  std::string proc = "/proc";
  std::string sys = "/sys";
  std::string run = "/run";
};

struct Remark {
  std::string found;
  std::string advice;
};

struct Subject {
  std::string here;
  std::string address;           // "": no mirrored volumes
  std::string new_address = {};  // the default route's, where it is no longer the one above
  std::vector<reconcile::PoolSettings> pools;
  std::uint16_t first_port = 7000;
  std::string helper;  // the installed driver
  std::vector<std::string> sockets;
  pods::Settings pods;
  std::string state_directory;
  bool try_nine = false;
  std::string store_kind;
  std::vector<std::string> endpoints;
  std::vector<std::string> store_problems;  // why there is no `store`, although it is etcd
  std::string store_silence = {};           // why it did not answer; then `store` is not asked
  std::string decisions;     // of the arbiter since the agent's start; "": no agent is asked
  std::string refusal = {};  // why the agent may not use the store; "": it may
  std::string session = {};  // of the agent that is asked
  // What the agent that is asked reports of mounts in directories of pods that seem to have ended;
  // nullopt: no agent is asked.
  std::optional<std::vector<Remark>> ended_pods = {};
  store::TypedStore* store = nullptr;  // nullptr: the embedded one, which only its agent may open
  Places places;
};

std::vector<api::Finding> examine(const Subject& asked, process::Runner& runner);

bool has_fault(const std::vector<api::Finding>& findings);

}  // namespace plexvol::doctor
