#include "agent/reconcile/apply_set.h"

#include <fmt/core.h>

namespace plexvol::reconcile {

using store::Change;

Error set_changed(const std::string& volume) {
  return {ErrorCode::Unavailable,
          fmt::format("volume {}: the current set changed concurrently; retrying", volume)};
}

namespace {

// After a change of its own, the set that the rest of the plan rests on. Another change in between
// has raised the epoch once more.
void read_own_change(Wanted& wanted, const Tools& tools) {
  const auto now = tools.store.find_current(wanted.volume.name);
  if (!now || now->value.epoch != wanted.current->epoch + 1) {
    throw set_changed(wanted.volume.name);
  }
  wanted.current = now->value;
  wanted.current_revision = now->revision;
}

// Takes `node` out of the very set that was planned from, in the name of one that is in it: so the
// set never becomes empty.
void take_out(const std::string& node, const std::string& asker, const std::string& reason,
              Wanted& wanted, const Tools& tools) {
  const std::string& volume = wanted.volume.name;
  if (!wanted.current) {
    throw Error(ErrorCode::NotFound,
                fmt::format("volume {} has no current set in the store", volume));
  }
  const bool won = wanted.current->nodes.contains(asker) &&
                   tools.arbiter.take_out_with(volume, {*wanted.current, wanted.current_revision},
                                               node, reason, {});
  if (!won) throw set_changed(volume);
  read_own_change(wanted, tools);
}

}  // namespace

void ask_arbiter(const std::string& peer, Wanted& wanted, const Tools& tools) {
  const std::string without = peer.empty() ? "a second replica" : peer;
  take_out(peer, wanted.here,
           fmt::format("{} {} without {}", wanted.here,
                       wanted.attached_here() ? "is promoted" : "continues", without),
           wanted, tools);
}

void leave_set(Wanted& wanted, const Tools& tools) {
  const std::string& here = wanted.here;
  take_out(here, wanted.volume.peer_of(here), here + " took its own replica out of the set", wanted,
           tools);
}

void take_out_peer(const std::string& peer, Wanted& wanted, const Tools& tools) {
  const std::string& here = wanted.here;
  take_out(peer, here, fmt::format("{} took the replica on {} out of the set", here, peer), wanted,
           tools);
}

void use_forced(Wanted& wanted, const Tools& tools) {
  const std::string& volume = wanted.volume.name;
  if (!tools.arbiter.use_forced(volume, wanted.current_revision)) throw set_changed(volume);
  read_own_change(wanted, tools);
}

void put_back(const std::string& peer, const Wanted& wanted, const Tools& tools) {
  if (!tools.arbiter.put_back(wanted.volume.name, wanted.current_revision, peer)) return;
  // A former copy may be waiting for this.
  tools.store.commit(Change().wake(wanted.volume));
}

}  // namespace plexvol::reconcile
