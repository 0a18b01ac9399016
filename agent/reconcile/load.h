// Reads from the store what is wanted of one volume, for a pass over it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/reconcile/other_nodes.h"
#include "agent/reconcile/shared.h"

namespace plexvol::reconcile {

struct Loaded {
  Wanted wanted;
  std::int64_t attachment_revision = 0;
  std::optional<model::Status> status;  // of this node, as the store has it
  std::int64_t assigned = 0;            // revision of this node's assignment
  bool peer_to_be_filled = false;       // the other copy is new and waits for a resync
};

// For one pass.
class Loader {
 public:
  // `shared` and `volume` must outlive it.
  Loader(Shared& shared, const std::string& volume) : shared_(shared), volume_(volume) {}

  // nullopt: the volume is none of this node's (any more), and what was recorded of it is
  // forgotten. `before` is what the same pass loaded before. Throws Unavailable when the volume was
  // replaced by another of its name since then.
  std::optional<Loaded> load(const std::optional<Loaded>& before);
  // For a view that was read ahead, of a volume that concerns this node.
  Loaded interpret(store::VolumeView view, const std::string& contradiction);
  // From here on the other copy is wanted where it is: it could not be replaced.
  void keep_peer() { keeps_peer_ = true; }

 private:
  std::string find_contradiction(store::VolumeView& view);
  void tell_of_return(const store::Versioned<model::Volume>& found);
  void forget();
  void drop_assignment(const store::VolumeView& view);
  void add_nodes(Loaded& loaded, const std::string& peer, NodeViews& views);
  PeerFate fate_of(const model::Volume& volume, const std::string& peer, const NodeViews& views);

  Shared& shared_;
  const std::string& volume_;
  bool keeps_peer_ = false;
};

}  // namespace plexvol::reconcile
