#include "agent/store/slots.h"

#include "agent/store/taken.h"

namespace plexvol::store {

unsigned choose_slot(const std::set<unsigned>& taken, unsigned next) {
  for (unsigned range = model::kUsualSlots; range <= model::kSlots; range *= 2) {
    for (unsigned i = 0; i < range; ++i) {
      const unsigned slot = (next % range + i) % range;
      if (!taken.contains(slot)) return slot;
    }
  }
  throw Error(ErrorCode::OutOfSpace, "all DRBD minor numbers are in use");
}

void give_slot(TypedStore& store, unsigned first_port, model::Volume& volume, Change& change) {
  const auto next = store.find_next_slot();
  std::set<unsigned> taken = store.list_slots();
  taken.merge(list_taken_slots(store, volume.nodes(), first_port));
  const unsigned slot = choose_slot(taken, next.value);
  volume.minor = model::kFirstMinor + slot;
  volume.port = static_cast<std::uint16_t>(first_port + slot);
  change.require(keys::slot(slot), 0).require(keys::next_slot(), next.revision);
  change.put(keys::slot(slot), volume.name).put(keys::next_slot(), std::to_string(slot + 1));
}

}  // namespace plexvol::store
