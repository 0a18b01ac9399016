#include "agent/volumes/copies.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "agent/api/names.h"
#include "agent/base/text.h"
#include "agent/model/codec.h"
#include "agent/placement/placement.h"
#include "agent/volumes/lookup.h"
#include "agent/volumes/new_volume.h"

namespace plexvol::volumes {

namespace {

namespace keys = store::keys;
using model::Volume;

// Whether some node, or that one, can have one copy more now. It may be another one when it comes to
// that.
void check_room(store::TypedStore& store, const Volume& volume, const std::string& node) {
  try {
    placement::place_within_promises(
        {.size_bytes = volume.size_bytes,
         .replicas = 1,
         .mirrored = true,
         .drbd = "",
         .pool = volume.pool,
         .nodes = node.empty() ? std::vector<std::string>{} : std::vector{node},
         .asking = "",
         .barred = placement::bar_for_another(volume, store.list_cordons()),
         .promised = {},
         .volume = volume.name},
        store.list_nodes(), store.list_alive_nodes(), [&](const std::string& asked) {
          return placement::promises_of(asked, store.list_volumes_on(asked));
        });
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("volume {} cannot have a second replica: {}", volume.name,
                                          error.what()));
  }
}

bool is_current(store::TypedStore& store, const std::string& volume, const std::string& node) {
  const auto current = store.find_current(volume);
  return current && current->value.nodes.contains(node);
}

void check_keeps(store::TypedStore& store, const Volume& volume, const std::string& node) {
  if (volume.find_replica(node) == nullptr) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("volume {} has no replica on {}; it has them on {}", volume.name, node,
                            base::join(volume.nodes())));
  }
  if (is_current(store, volume.name, node)) return;
  throw Error(ErrorCode::Conflict,
              fmt::format("volume {}: the replica on {} may lack the newest writes, so the other "
                          "one cannot go; see `plexvol volume show {}`",
                          volume.name, node, volume.name));
}

// Which of the two stays.
std::string choose_kept(store::TypedStore& store, const Volume& volume) {
  const auto attachment = store.find_attachment(volume.name);
  if (attachment && volume.find_replica(attachment->value.node) != nullptr) {
    return attachment->value.node;
  }
  const auto nodes = volume.nodes();
  const auto current = std::ranges::find_if(
      nodes, [&](const std::string& node) { return is_current(store, volume.name, node); });
  return current == nodes.end() ? nodes.front() : *current;
}

void want_two(store::TypedStore& store, Volume& volume) {
  volume.leaving.clear();
  if (volume.wanted_copies() > 1) {
    volume.arriving.clear();
    volume.copies_asked = 0;
    return;
  }
  if (volume.copies_asked != 2) check_room(store, volume, volume.arriving);
  volume.copies_asked = 2;
}

void want_one(store::TypedStore& store, Volume& volume, const std::string& keep) {
  if (volume.wanted_copies() == 1) {
    if (!keep.empty() && volume.find_replica(keep) == nullptr) check_keeps(store, volume, keep);
    volume.copies_asked = 0;
    volume.leaving.clear();
    volume.arriving.clear();
    return;
  }
  // As it was told before: who repeats it need not know which one that was.
  const bool is_leaving = volume.find_replica(volume.leaving) != nullptr;
  if (keep.empty() && volume.copies_asked == 1 && is_leaving && volume.replicas.size() > 1) return;
  const std::string kept = keep.empty() ? choose_kept(store, volume) : keep;
  check_keeps(store, volume, kept);
  volume.copies_asked = 1;
  volume.leaving = volume.peer_of(kept);
  volume.arriving.clear();
}

// The copy leaves from `from`, and goes to `to` when that is not empty.
void want_move(store::TypedStore& store, Volume& volume, const std::string& from,
               const std::string& to) {
  if (volume.leaving == from && volume.arriving == to) return;
  const bool is_single = volume.wanted_copies() == 1;
  if (volume.copies_asked != 0 || !volume.leaving.empty()) {
    throw Error(ErrorCode::Conflict,
                fmt::format("volume {}: its replicas are being changed already: {}; to stop that: "
                            "`plexvol volume set {} --copies {}`",
                            volume.name, describe_pending(volume, ""), volume.name,
                            volume.wanted_copies()));
  }
  if (!is_single) check_keeps(store, volume, volume.peer_of(from));
  check_room(store, volume, to);
  volume.leaving = from;
  volume.arriving = to;
  volume.copies_asked = is_single ? 1 : 0;
}

// `change` is given the volume as it is.
template <class Change>
void change_volume(store::TypedStore& store, const std::string& name, Change change) {
  check_volume_name(name);
  constexpr int kMaxRaces = 20;
  const std::string key = keys::volume(name);
  for (int race = 0; race < kMaxRaces; ++race) {
    get_volume(store, name);
    const auto found = store.find_volume(name);
    if (!found) continue;
    Volume next = found->value;
    if (next.deleting) {
      throw Error(ErrorCode::Conflict, fmt::format("volume {} is being deleted", name));
    }
    change(next);
    const std::string text = model::to_json(next);
    if (text == model::to_json(found->value)) return;
    if (store.commit(store::Change().require(key, found->revision).put(key, text).wake(next))) {
      return;
    }
  }
  throw Error(ErrorCode::Unavailable,
              fmt::format("volume {}: changed concurrently; try again", name));
}

}  // namespace

void set_copies(store::TypedStore& store, const std::string& name, const Copies& copies) {
  check_replicas(copies.number);
  if (!copies.keep.empty()) check_node_name(copies.keep);
  if (!copies.keep.empty() && copies.number != 1) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("volume {}: with two replicas, there is none to be kept", name));
  }
  change_volume(store, name, [&](Volume& volume) {
    copies.number == 1 ? want_one(store, volume, copies.keep) : want_two(store, volume);
  });
}

void move_copy(store::TypedStore& store, const std::string& name, const Move& move) {
  for (const std::string& node : {move.from, move.to}) {
    if (!node.empty()) check_node_name(node);
  }
  change_volume(store, name, [&](Volume& volume) {
    const std::vector<std::string> nodes = volume.nodes();
    std::string from = move.from;
    if (from.empty()) {
      if (nodes.size() != 1) {
        throw Error(ErrorCode::InvalidArgument,
                    fmt::format("volume {} has replicas on {}: say with --from which one moves",
                                name, base::join(nodes)));
      }
      from = nodes.front();
    }
    const bool is_there = !move.to.empty() && volume.find_replica(move.to) != nullptr;
    if (volume.find_replica(from) == nullptr) {
      if (is_there) return;  // it has moved
      check_keeps(store, volume, from);
    }
    if (from == move.to || is_there) {
      // It is on its way, or it was there before.
      if (volume.leaving == from && volume.copies_asked == 1) return;
      throw Error(ErrorCode::InvalidArgument,
                  fmt::format("volume {} already has a replica on {}{}", name, move.to,
                              from == move.to ? ""
                                              : fmt::format("; to give up the one on {}: `plexvol "
                                                            "volume set {} --copies 1 --keep {}`",
                                                            from, name, move.to)));
    }
    want_move(store, volume, from, move.to);
  });
}

namespace {

std::string when_released(const std::string& attached_to, const std::string& node) {
  const bool is_used = !attached_to.empty() && (node.empty() || attached_to == node);
  return is_used ? fmt::format(" once the volume is released on {}", attached_to) : "";
}

std::string describe_one_copy(const Volume& volume, const std::string& attached_to) {
  if (volume.copies_asked < 2 && volume.leaving.empty()) return "";
  const std::string to = volume.arriving.empty() ? "" : " on " + volume.arriving;
  const std::string then =
      volume.leaving.empty() ? "" : fmt::format(", then the one on {} goes", volume.leaving);
  return fmt::format("a second replica is made{}{}{}", to, when_released(attached_to, ""), then);
}

}  // namespace

std::string describe_pending(const Volume& volume, const std::string& attached_to) {
  if (volume.deleting) return "";
  if (volume.wanted_copies() == 1) return describe_one_copy(volume, attached_to);
  const bool has_leaving = volume.find_replica(volume.leaving) != nullptr;
  if (volume.copies_asked != 1) {
    if (!has_leaving) return "";
    return fmt::format("the replica on {} moves to {}{}", volume.leaving,
                       volume.arriving.empty() ? "another node" : volume.arriving,
                       when_released(attached_to, volume.leaving));
  }
  if (has_leaving) {
    return fmt::format("the replica on {} goes{}, when the other one is whole", volume.leaving,
                       when_released(attached_to, volume.leaving));
  }
  if (!volume.former.empty()) {
    return fmt::format("DRBD goes when {} has removed its replica",
                       base::join({volume.former.begin(), volume.former.end()}));
  }
  return fmt::format("DRBD goes{}", when_released(attached_to, ""));
}

}  // namespace plexvol::volumes
