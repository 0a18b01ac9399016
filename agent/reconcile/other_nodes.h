// What other nodes say of their copies of a volume. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "agent/model/model.h"
#include "agent/store/typed_store.h"

namespace plexvol::reconcile {

using NodeViews = std::map<std::string, store::NodeView>;

// Every copy is UpToDate and connected, as the agents that are there now say.
bool are_whole(const model::Volume& volume, const NodeViews& views);
// This node is to make a copy, one of the first or one that its peer fills, and has not made it
// yet.
bool is_unmade(const model::Volume& volume, const std::string& node);
// What keeps it from that is no matter of time.
bool is_unable(const model::Volume& volume, const std::string& node, const NodeViews& views);
// Its agent says that the backing devices of the copy, which was made, no longer exist.
bool lacks_backing(const model::Volume& volume, const std::string& node, const NodeViews& views);
// This node's copy is new and not in the set yet. A node that is silent, or unable, does not count:
// nothing waits for it.
bool is_to_be_filled(const model::Volume& volume, const std::optional<model::Current>& current,
                     const std::string& node, const NodeViews& views);

}  // namespace plexvol::reconcile
