#include "agent/volumes/lookup.h"

#include "agent/api/names.h"

namespace plexvol::volumes {

model::Volume get_volume(store::TypedStore& store, const std::string& name) {
  check_volume_name(name);
  const auto found = store.find_volume(name);
  if (!found) throw Error(ErrorCode::NotFound, "no volume named " + name);
  return found->value;
}

model::Volume find_existing(store::TypedStore& store, const Wanted& wanted) {
  model::Volume volume = get_volume(store, wanted.volume);
  check_same_volume(wanted, volume);
  return volume;
}

}  // namespace plexvol::volumes
