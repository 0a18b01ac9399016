#include "agent/volumes/attachments.h"

#include <fmt/core.h>

#include <ctime>

#include "agent/api/names.h"
#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/volumes/await_made.h"
#include "agent/volumes/lookup.h"

namespace plexvol::volumes {

using model::Attachment;
using model::Holder;
using store::Change;
using store::Versioned;
namespace keys = store::keys;

// The attachment, and the name that stands for it. Detach is told nothing but the name, so while
// that stands for another attached volume it is refused, or that one would stay attached for ever.
// Without attach calls none is needed: there, pods may well use one name for different volumes.
Change Attachments::holding(const model::Volume& volume, const Attachment& next, const Taker& taker,
                            Change change) {
  change.put(keys::attachment(volume.name), model::to_json(next)).wake(volume);
  const std::string key = keys::name(next.node, taker.name);
  const auto entry = store_.raw().get(key);
  if (entry && entry->value != volume.name) {
    const auto other = store_.find_attachment(entry->value);
    const bool in_use = other && other->value.node == next.node &&
                        other->value.holder == Holder::Attach &&
                        other->value.names.contains(taker.name);
    if (in_use && taker.claim != Claim::Mount) {
      throw Error(
          ErrorCode::Conflict,
          fmt::format("volume {} cannot be attached to {} as {}: volume {} is attached there under "
                      "this name; give the pods' inline volumes different names",
                      volume.name, next.node, taker.name, entry->value));
    }
    if (in_use) return change;
  }
  return change.require(key, entry ? entry->revision : 0).put(key, volume.name);
}

Change Attachments::taking_over(const model::Volume& volume, const Versioned<Attachment>& from,
                                const Attachment& next, const Taker& taker) {
  Change change;
  change.require(keys::attachment(volume.name), from.revision);
  store_.remove_names(from.value, volume.name, change);
  return holding(volume, next, taker, change);
}

std::int64_t Attachments::hold(const model::Volume& volume, const Taker& taker, const Call& call) {
  if (volume.find_replica(taker.node) == nullptr) {
    std::string nodes;
    for (const std::string& other : volume.nodes()) nodes += (nodes.empty() ? "" : ", ") + other;
    throw Error(ErrorCode::Conflict, fmt::format("volume {} has no replica on {}; run the pod on a "
                                                 "node that has one: {} (PV nodeAffinity)",
                                                 volume.name, taker.node, nodes));
  }
  while (!try_hold(volume, taker, call)) {
    if (call.stop.stop_requested() || std::chrono::steady_clock::now() >= call.deadline) {
      throw Error(ErrorCode::Unavailable,
                  fmt::format("volume {}: its attachment keeps changing; try again", volume.name));
    }
  }
  const auto attachment = store_.find_attachment(volume.name);
  return attachment ? attachment->revision : 0;
}

// False: the store changed in between, look again.
bool Attachments::try_hold(const model::Volume& volume, const Taker& taker, const Call& call) {
  const std::string& node = taker.node;
  const Holder holder = taker.claim == Claim::Mount ? Holder::Mount : Holder::Attach;
  const std::string key = keys::attachment(volume.name);
  const auto latest = store_.find_volume(volume.name);
  if (!latest || latest->value.id != volume.id || latest->value.deleting) {
    throw Error(ErrorCode::Conflict, fmt::format("volume {} is being deleted", volume.name));
  }
  if (latest->value.find_replica(node) == nullptr) {
    throw Error(
        ErrorCode::Conflict,
        fmt::format("volume {}: the replica on {} has just been replaced", volume.name, node));
  }
  const auto seen = store_.find_attachment(volume.name);
  if (taker.claim == Claim::StayAttached && (!seen || seen->value.node != node)) {
    throw Error(
        ErrorCode::Conflict,
        fmt::format(
            "volume {} is not attached to {}{}: it was detached and must be attached again first",
            volume.name, node, seen ? " but to " + seen->value.node : ""));
  }
  Attachment mine{.node = node,
                  .since = std::time(nullptr),
                  .holder = holder,
                  .names = {taker.name},
                  .release = {},
                  .silent_session = {}};
  if (!seen) {
    // With the volume's revision: a deletion that comes at the same moment must fail, or make this
    // fail.
    Change change;
    change.require(key, 0).require(keys::volume(volume.name), latest->revision);
    return store_.commit(holding(volume, mine, taker, change));
  }
  const Attachment& held = seen->value;
  if (held.node == node) {
    mine.since = held.since;
    mine.names.insert(held.names.begin(), held.names.end());
    mine.silent_session = held.silent_session;
    mine.unknown = held.unknown;
    if (held.holder == Holder::Attach) mine.holder = Holder::Attach;
    // Written even when nothing changes: the new revision makes the node look again and say what it
    // finds now.
    return store_.commit(holding(volume, mine, taker, Change().require(key, seen->revision)));
  }
  // The lease says only that it is time to try; whether it is safe is the arbiter's word.
  if (releases_.is_gone(held.node)) return store_.commit(taking_over(volume, *seen, mine, taker));
  if (held.holder == Holder::Attach) {
    throw Error(ErrorCode::Conflict,
                fmt::format("volume {} is attached to {} and must be detached there first",
                            volume.name, held.node));
  }
  return ask_for(volume, *seen, mine, taker, call);
}

// The holder lets go, or refuses (then it throws), or is taken for silent. False: look again.
bool Attachments::ask_for(const model::Volume& volume, const Versioned<Attachment>& held,
                          Attachment mine, const Taker& taker, const Call& call) {
  const std::string holder = held.value.node;
  const auto silent = releases_.request(
      volume, held, fmt::format("volume {} is wanted on {}", volume.name, mine.node), mine.node,
      call);
  if (!silent) return false;
  mine.silent_session = silent->session;
  Change change = taking_over(volume, silent->attachment, mine, taker);
  change.require(keys::status(holder, volume.name), silent->status_revision);
  // With the arbiter's own step: it moves only when this copy has won, and the holder has not.
  const bool won = arbiter_.take_out_with(
      volume.name, silent->current, holder,
      holder + " has the volume attached, but is disconnected and does not answer", change);
  if (!won) releases_.withdraw(volume.name, silent->attachment.value.release->id);
  return won;
}

bool Attachments::remove_attachment(const model::Volume& volume,
                                    const Versioned<Attachment>& attachment) {
  const std::string key = keys::attachment(volume.name);
  Change change;
  change.require(key, attachment.revision).remove(key).wake(volume);
  store_.remove_names(attachment.value, volume.name, change);
  return store_.commit(change);
}

void Attachments::await_ready(const model::Volume& volume, const std::string& node,
                              std::int64_t revision, const Call& call) {
  Awaiter awaiter(store_.raw(), {keys::status(node, volume.name)});
  const auto fresh = [&]() -> std::optional<model::Status> {
    auto status = store_.find_status(node, volume.name);
    if (!status || status->attachment_revision < revision) return std::nullopt;
    if (node == settings_.here && status->session != settings_.session) return std::nullopt;
    return status;
  };
  const auto look = [&]() -> std::optional<bool> {
    const auto status = fresh();
    if (!status) return std::nullopt;
    if (status->ready) return true;
    if (!status->error.empty() && status->error_code != ErrorCode::Unavailable) {
      throw Error(status->error_code, status->error);
    }
    return std::nullopt;
  };
  awaiter.until<bool>(call, look, [&] {
    const auto status = fresh();
    return fmt::format("waiting for volume {} to become ready on {}{}", volume.name, node,
                       status && !status->error.empty() ? ": " + status->error : "");
  });
}

void Attachments::detach(const std::string& node, const std::string& name, const Call& call) {
  check_node_name(node);
  check_node_name(name);
  const std::string volume_name = store_.find_named(node, name).value_or(name);
  call.is_about(volume_name);
  const log::LogScope scope("volume", volume_name);
  while (true) {
    const auto volume = store_.find_volume(volume_name);
    const auto attachment = store_.find_attachment(volume_name);
    // Not attached, or unknown: that is what was asked for.
    if (!volume || !attachment || attachment->value.node != node) return;
    Attachment next = attachment->value;
    if (next.names.size() > 1 && next.names.erase(name) > 0) {
      const std::string key = keys::attachment(volume_name);
      if (store_.commit(Change()
                            .require(key, attachment->revision)
                            .put(key, model::to_json(next))
                            .remove(keys::name(node, name)))) {
        return;
      }
      continue;
    }
    if (releases_.is_gone(node)) {
      if (remove_attachment(volume->value, *attachment)) return;
      continue;
    }
    const std::string reason = fmt::format("detach of {} from {}", name, node);
    releases_.request(volume->value, *attachment, reason, "", call);
  }
}

std::optional<std::string> Attachments::find_node(const std::string& volume) {
  check_volume_name(volume);
  const auto attachment = store_.find_attachment(volume);
  return attachment ? std::optional(attachment->value.node) : std::nullopt;
}

model::Volume Attachments::attach(const Wanted& wanted, const std::string& node,
                                  const std::string& name, const Call& call) {
  check(wanted);
  check_node_name(node);
  check_node_name(name);
  call.is_about(wanted.volume);
  await_announced(store_, settings_.here, call);
  if (!store_.find_node(node)) {
    throw Error(ErrorCode::NotFound, "no Plexvol agent has ever run on node " + node);
  }
  model::Volume volume = creation_.take_up(wanted, creation_.find_or_create(wanted, node));
  const std::int64_t revision =
      hold(volume, {.node = node, .name = name, .claim = Claim::Attach}, call);
  await_ready(volume, node, revision, call);
  return volume;
}

void Attachments::await_device(const Wanted& wanted, const std::string& name, const Call& call) {
  check(wanted);
  check_node_name(name);
  call.is_about(wanted.volume);
  const std::string& here = settings_.here;
  const model::Volume volume = find_existing(store_, wanted);
  const std::int64_t revision =
      hold(volume, {.node = here, .name = name, .claim = Claim::StayAttached}, call);
  await_ready(volume, here, revision, call);
}

}  // namespace plexvol::volumes
