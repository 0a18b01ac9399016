// What a copy of a volume consists of on its node: layers, from the bottom.
//
// Each layer stands on the one below: it is brought up after it and taken down before it, and what
// is mounted is the device of the top one. The compiler names the functions here, and
// Planner::bring_up_layers and take_down_layers, that have to know a new value of Layer. What else
// has to: README.md, "Where to start".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/model/model.h"
#include "agent/reconcile/plan.h"

namespace plexvol::reconcile {

enum class Layer {
  Backing,  // a logical volume, or an image file
  Drbd,     // the mirror over it, which keeps its metadata on a backing device of its own
};

std::vector<Layer> layers_of(const model::Volume& volume);
bool has_layer(const model::Volume& volume, Layer layer);

// A backing device that one of the layers keeps its data on.
struct Part {
  std::string name;                       // in the pool
  std::string what;                       // "data", for messages
  std::optional<Backing> Seen::*backing;  // what was seen of it
};
std::vector<Part> parts_of(const model::Volume& volume);
// Also of what it had, or was about to have.
std::vector<Part> all_parts_of(const model::Volume& volume);

// "" when all of them are there; else what the first one that is missing is.
std::string find_missing_part(const model::Volume& volume, const Seen& seen);

// All that are there can be given to the layers above: an image file gets its device only when it
// is activated.
bool have_devices(const model::Volume& volume, const Seen& seen);

// The path of the top layer's device; "" while there is none.
std::string device_path(const model::Volume& volume, const Seen& seen);

// Every layer lets what is above it, and mounts, use its device.
bool lets_use(const model::Volume& volume, const Seen& seen);

// DRBD's metadata device, in the pool.
std::string metadata_name(const model::Volume& volume);

}  // namespace plexvol::reconcile
