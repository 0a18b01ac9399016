// What kubectl shows of a node, the status of its PlexvolNode, and what its spec asks for. Pure.
//
// spec.placement is normal, cordoned or draining, and status.placementAsked is what of it was last seen
// to. Where they differ, somebody has asked. Where they agree and the node is in another state, somebody
// has asked by the command line, and the spec is to follow. So the spec shows what was asked last, by
// whichever way, and no way takes back what was asked by another.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/api/protocol.h"

namespace plexvol::view {

// What became of the last request in the spec.
struct Answer {
  bool done = false;
  std::string message;  // why not
};

struct NodeFacts {
  api::NodeInfo node;
  // Names of the volumes that have a copy there, or one that is still to be removed.
  std::vector<std::string> volumes;
};

// "normal", "cordoned", "draining", or "being forgotten", which a spec cannot ask for.
std::string placement_of(const api::NodeInfo& node);
// For the spec of a new object.
std::string placement_to_begin_with(const api::NodeInfo& node);

// JSON text, as volume_status() makes it. `asked`: the new status.placementAsked. `answer`: nullopt keeps
// the one in `before`.
std::string node_status(const NodeFacts& facts, const std::string& asked,
                        const std::optional<Answer>& answer, const std::string& before,
                        std::int64_t now);

// Of JSON texts; "" when there is none, or it is no string.
std::string placement_in_spec(const std::string& spec);
std::string placement_asked(const std::string& status);

// What is to be done about the spec.
struct Wish {
  enum class Kind {
    None,
    Change,    // the node, as `placement` says
    FollowUp,  // the spec, which is to say `placement`
  };
  Kind kind = Kind::None;
  std::string placement;
};
Wish find_wish(const std::string& spec, const std::string& status, const api::NodeInfo& node);

// The actions of api::NodeChange that bring the node there, in this order. Throws Conflict when it is
// being forgotten, and InvalidArgument for an unknown placement.
std::vector<std::string> actions_for(const std::string& placement, const api::NodeInfo& node);

}  // namespace plexvol::view
