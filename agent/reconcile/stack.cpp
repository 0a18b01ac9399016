#include "agent/reconcile/stack.h"

#include <algorithm>

namespace plexvol::reconcile {

std::string metadata_name(const model::Volume& volume) {
  return volume.name + ".meta";
}

std::vector<Layer> layers_of(const model::Volume& volume) {
  std::vector<Layer> layers{Layer::Backing};
  if (volume.mirrored()) layers.push_back(Layer::Drbd);
  return layers;
}

bool has_layer(const model::Volume& volume, Layer layer) {
  return std::ranges::count(layers_of(volume), layer) > 0;
}

namespace {

std::vector<Part> list_parts(const model::Volume& volume, const std::vector<Layer>& layers) {
  std::vector<Part> parts;
  for (const Layer layer : layers) {
    switch (layer) {
      case Layer::Backing:
        parts.push_back({.name = volume.name, .what = "data", .backing = &Seen::data});
        break;
      case Layer::Drbd:
        parts.push_back(
            {.name = metadata_name(volume), .what = "DRBD metadata", .backing = &Seen::metadata});
        break;
    }
  }
  return parts;
}

}  // namespace

std::vector<Part> parts_of(const model::Volume& volume) {
  return list_parts(volume, layers_of(volume));
}

std::vector<Part> all_parts_of(const model::Volume& volume) {
  return list_parts(volume, {Layer::Backing, Layer::Drbd});
}

std::string find_missing_part(const model::Volume& volume, const Seen& seen) {
  for (const Part& part : parts_of(volume)) {
    if (!(seen.*part.backing)) return part.what;
  }
  return "";
}

bool have_devices(const model::Volume& volume, const Seen& seen) {
  return std::ranges::all_of(parts_of(volume), [&](const Part& part) {
    const std::optional<Backing>& backing = seen.*part.backing;
    return !backing || !backing->device.empty();
  });
}

std::string device_path(const model::Volume& volume, const Seen& seen) {
  std::string path;
  for (const Layer layer : layers_of(volume)) {
    switch (layer) {
      case Layer::Backing:
        path = seen.data && seen.data->active ? seen.data->device : "";
        break;
      case Layer::Drbd:
        // Also over a failed disk: it works on its peer's.
        path = seen.resource ? "/dev/drbd" + std::to_string(volume.minor) : "";
        break;
    }
  }
  return path;
}

bool lets_use(const model::Volume& volume, const Seen& seen) {
  return std::ranges::all_of(layers_of(volume), [&](Layer layer) {
    switch (layer) {
      case Layer::Backing:
        return true;  // whatever is above it has it open, or it is the device itself
      case Layer::Drbd:
        return seen.resource && seen.resource->role == "Primary";
    }
    return false;
  });
}

}  // namespace plexvol::reconcile
