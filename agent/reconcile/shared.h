// What all passes of this agent share.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "agent/reconcile/memory.h"
#include "agent/reconcile/peers.h"
#include "agent/reconcile/resync_turns.h"
#include "agent/reconcile/tools.h"

namespace plexvol::reconcile {

struct ReconcilerSettings {
  std::string here;
  std::string session;  // of this agent's life
  // How long a peer whose agent is alive may take to connect before the copy here is promoted
  // without it. Too short costs only a needless resync, never data: the arbiter decides.
  std::chrono::seconds connect_time{15};
  // How long I/O may be frozen before this agent itself ends the freeze: the kernel asks at once,
  // and goes on by itself when it is answered.
  std::chrono::seconds question_time{5};
  // How long a node may be away before its copies are made anew on others.
  std::chrono::seconds rebuild_time{600};
  ResyncLimits resync_limits;
  std::uint16_t first_port = 7000;              // of DRBD's; each mirrored volume has one
  std::function<void()> space_changed = [] {};  // called after a logical volume was made or removed
  std::function<void()> resyncs_changed = [] {};  // called when one begins or ends
  std::function<void()> unmounted = [] {};        // called after a left-over mount was taken down
  // Called when the store is older than what this node acted on of the volume; must not block.
  std::function<void(const std::string& volume)> contradicted = [](const std::string&) {};
  // What is to be said of the volume beside what this agent does for it; "" when nothing.
  std::function<std::string(const std::string& volume)> missing_mounts = [](const std::string&) {
    return std::string();
  };
};

struct Shared {
  Shared(Tools all_tools, ReconcilerSettings all_settings)
      : tools(std::move(all_tools)),
        settings(std::move(all_settings)),
        peers(settings.rebuild_time),
        resync_turns(settings.resync_limits) {}

  Tools tools;
  ReconcilerSettings settings;
  Peers peers;
  ResyncTurns resync_turns;
  Memory memory;
};

}  // namespace plexvol::reconcile
