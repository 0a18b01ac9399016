// A volume's set and the history of its changes: two keys that are read and written together.
#pragma once

#include <optional>
#include <string>

#include "agent/store/typed_store.h"

namespace plexvol::store {

// The set with its history, both read at one revision. Its last entry is always of this very set.
std::optional<Versioned<model::Current>> to_set(const std::optional<Entry>& current,
                                                const std::optional<Entry>& history);

// The set after one more change: the next epoch, with a new id.
model::Current next_set(model::Current set);

void put_set(const std::string& volume, const model::Current& set, Change& change);

}  // namespace plexvol::store
