// Who holds a volume: attach, take over, release.
#include <ctime>

#include "agent/api/names.h"
#include "agent/api/random.h"
#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/service/service.h"

namespace plexvol::service {

using model::Attachment;
using model::Holder;
using store::Change;
using store::Versioned;
namespace keys = store::keys;

// The attachment, and the name that stands for it. Detach is told nothing but the name, so while
// that stands for another attached volume it is refused, or that one would stay attached for ever.
// Without attach calls none is needed: there, pods may well use one name for different volumes.
Change Service::holding(const model::Volume& volume, const Attachment& next,
                        const std::string& name, Claim claim, Change change) {
  change.put(keys::attachment(volume.name), model::to_json(next)).wake(volume);
  const std::string key = keys::name(next.node, name);
  const auto entry = store_.raw().get(key);
  if (entry && entry->value != volume.name) {
    const auto other = store_.find_attachment(entry->value);
    const bool in_use = other && other->value.node == next.node &&
                        other->value.holder == Holder::Attach && other->value.names.contains(name);
    if (in_use && claim != Claim::Mount) {
      throw Error(
          ErrorCode::Conflict,
          "volume " + volume.name + " cannot be attached to " + next.node + " as " + name +
              ": volume " + entry->value +
              " is attached there under this name; give the pods' inline volumes different names");
    }
    if (in_use) return change;
  }
  return change.require(key, entry ? entry->revision : 0).put(key, volume.name);
}

Change Service::taking_over(const model::Volume& volume, const Versioned<Attachment>& from,
                            const Attachment& next, const std::string& name, Claim claim) {
  Change change;
  change.require(keys::attachment(volume.name), from.revision);
  store_.remove_names(from.value, volume.name, change);
  return holding(volume, next, name, claim, change);
}

bool Service::is_gone(const std::string& node) const {
  return node != settings_.here && !store_.is_alive(node);
}

std::int64_t Service::hold(const model::Volume& volume, const std::string& node,
                           const std::string& name, Claim claim, const Call& call) {
  if (volume.find_replica(node) == nullptr) {
    std::string nodes;
    for (const std::string& other : volume.nodes()) nodes += (nodes.empty() ? "" : ", ") + other;
    throw Error(ErrorCode::Conflict, "volume " + volume.name + " has no copy on " + node +
                                         "; it has copies on: " + nodes +
                                         ". Let the pod run there (PV nodeAffinity)");
  }
  while (!try_hold(volume, node, name, claim, call)) {
    if (call.stop.stop_requested() || std::chrono::steady_clock::now() >= call.deadline) {
      throw Error(ErrorCode::Unavailable,
                  "the attachment of volume " + volume.name + " keeps changing; try again");
    }
  }
  const auto attachment = store_.find_attachment(volume.name);
  return attachment ? attachment->revision : 0;
}

// False: the store changed in between, look again.
bool Service::try_hold(const model::Volume& volume, const std::string& node,
                       const std::string& name, Claim claim, const Call& call) {
  const Holder holder = claim == Claim::Mount ? Holder::Mount : Holder::Attach;
  const std::string key = keys::attachment(volume.name);
  const auto latest = store_.find_volume(volume.name);
  if (!latest || latest->value.id != volume.id || latest->value.deleting) {
    throw Error(ErrorCode::Conflict, "volume " + volume.name + " is being deleted");
  }
  if (latest->value.find_replica(node) == nullptr) {
    throw Error(ErrorCode::Conflict,
                "the copy of volume " + volume.name + " on " + node + " has just been replaced");
  }
  const auto seen = store_.find_attachment(volume.name);
  if (claim == Claim::StayAttached && (!seen || seen->value.node != node)) {
    throw Error(ErrorCode::Conflict, "volume " + volume.name + " is not attached to " + node +
                                         (seen ? " but to " + seen->value.node : "") +
                                         ": it was detached and must be attached again first");
  }
  Attachment mine{.node = node,
                  .since = std::time(nullptr),
                  .holder = holder,
                  .names = {name},
                  .release = {},
                  .silent_session = {}};
  if (!seen) {
    // With the volume's revision: a deletion that comes at the same moment must fail, or make this
    // fail.
    Change change;
    change.require(key, 0).require(keys::volume(volume.name), latest->revision);
    return store_.commit(holding(volume, mine, name, claim, change));
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
    return store_.commit(holding(volume, mine, name, claim, Change().require(key, seen->revision)));
  }
  // The lease says only that it is time to try; whether it is safe is the arbiter's word.
  if (is_gone(held.node)) return store_.commit(taking_over(volume, *seen, mine, name, claim));
  if (held.holder == Holder::Attach) {
    throw Error(ErrorCode::Conflict, "volume " + volume.name + " is attached to " + held.node +
                                         " and must be detached there first");
  }
  return ask_for(volume, *seen, mine, name, claim, call);
}

// The holder lets go, or refuses (then it throws), or is taken for silent. False: look again.
bool Service::ask_for(const model::Volume& volume, const Versioned<Attachment>& held,
                      Attachment mine, const std::string& name, Claim claim, const Call& call) {
  const std::string holder = held.value.node;
  const auto silent = request_release(
      volume, held, "volume " + volume.name + " is wanted on " + mine.node, mine.node, call);
  if (!silent) return false;
  mine.silent_session = silent->session;
  Change change = taking_over(volume, silent->attachment, mine, name, claim);
  change.require(keys::status(holder, volume.name), silent->status_revision);
  // With the arbiter's own step: it moves only when this copy has won, and the holder has not.
  const bool won = arbiter_.take_out_with(
      volume.name, silent->current, holder,
      holder + " has it attached, but is cut off and does not answer", change);
  if (!won) withdraw_release(volume.name, silent->attachment.value.release->id);
  return won;
}

// Its copy can be used, and has no connection to the holder. So the holder, if it lives, is frozen
// until its agent has asked the arbiter.
bool Service::is_cut_off(const std::string& volume, const std::string& node) {
  const auto status = store_.find_status(node, volume);
  return status && store_.find_session(node) == status->session && !status->connection.empty() &&
         status->connection != "Connected" &&
         (status->disk_state == "UpToDate" || status->disk_state == "Consistent");
}

// What was seen of a holder that should have answered; what has changed since shows in a revision.
std::optional<Service::Silent> Service::find_silent(const std::string& volume,
                                                    const std::string& taker,
                                                    const std::string& release_id) {
  const auto attachment = store_.find_attachment(volume);
  if (!attachment || !attachment->value.release || attachment->value.release->id != release_id) {
    return std::nullopt;
  }
  const std::string& node = attachment->value.node;
  const auto current = store_.find_current(volume);
  if (!current || !current->value.nodes.contains(taker)) return std::nullopt;
  // After the set was read: that is what is compared.
  if (!is_cut_off(volume, taker)) return std::nullopt;
  const auto status = store_.raw().get(keys::status(node, volume));
  if (status) {
    const auto said = store::read_record<model::Status>(*status);
    const bool speaks = said.attachment_revision >= attachment->revision;
    if (speaks || said.refused_release == release_id) return std::nullopt;
  }
  return Silent{.attachment = *attachment,
                .current = *current,
                .status_revision = status ? status->revision : 0,
                .session = store_.find_session(node).value_or("")};
}

// The request that is there, or one of our own. nullopt: the attachment has changed, look again.
std::optional<std::string> Service::join_or_ask(const model::Volume& volume,
                                                const Versioned<Attachment>& attachment,
                                                const std::string& reason) {
  Attachment next = attachment.value;
  if (next.release) {
    // Whoever asked: a new id would void the answer that others wait for, as theirs would ours. But
    // a refusal is as old as its request: the holder may be idle by now.
    const auto status = store_.find_status(next.node, volume.name);
    if (!status || status->refused_release != next.release->id) return next.release->id;
  }
  next.release = model::Release{.id = random_hex(16), .reason = reason};
  const std::string key = keys::attachment(volume.name);
  const bool asked = store_.commit(
      Change().require(key, attachment.revision).put(key, model::to_json(next)).wake(volume));
  return asked ? std::optional(next.release->id) : std::nullopt;
}

// Returns when the attachment is another than it was, or the request was withdrawn by another call
// that waited for it; throws Conflict with the holder's reason when it refuses. A value: it says
// nothing, and is cut off from the copy on `taker` ("": on none).
std::optional<Service::Silent> Service::request_release(const model::Volume& volume,
                                                        const Versioned<Attachment>& attachment,
                                                        const std::string& reason,
                                                        const std::string& taker,
                                                        const Call& call) {
  const std::string node = attachment.value.node;
  const std::string key = keys::attachment(volume.name);
  const auto joined = join_or_ask(volume, attachment, reason);
  if (!joined) return std::nullopt;
  const std::string& id = *joined;
  const auto asked = std::chrono::steady_clock::now();
  std::optional<Silent> silent;
  std::vector<std::string> watched{key, keys::status(node, volume.name), keys::alive(node)};
  if (!taker.empty()) {
    watched.push_back(keys::status(taker, volume.name));
    watched.push_back(keys::current(volume.name));
  }
  Awaiter awaiter(store_.raw(), watched);
  if (!taker.empty()) awaiter.look_at(asked + settings_.silence);
  const auto settled = [&]() -> std::optional<std::string> {
    const auto now = store_.find_attachment(volume.name);
    if (!now || now->value.node != node || is_gone(node)) return "";
    // Before the request itself: another call that has read this may have withdrawn it already.
    const auto status = store_.find_status(node, volume.name);
    if (status && status->refused_release == id) return status->error;
    if (!now->value.release || now->value.release->id != id) return "";
    if (taker.empty() || std::chrono::steady_clock::now() - asked < settings_.silence) {
      return std::nullopt;
    }
    silent = find_silent(volume.name, taker, id);
    return silent ? std::optional<std::string>("") : std::nullopt;
  };
  std::string refusal;
  try {
    refusal = awaiter.until<std::string>(call, settled, [&] {
      const auto status = store_.find_status(node, volume.name);
      return "waiting for " + node + " to release volume " + volume.name +
             (status && !status->error.empty() ? ": " + status->error : "");
    });
  } catch (const Error&) {
    withdraw_release(volume.name, id);
    throw;
  }
  if (refusal.empty()) return silent;
  withdraw_release(volume.name, id);
  throw Error(ErrorCode::Conflict, refusal);
}

// A request that was refused must not come true later, when nobody waits for it any more. Whoever
// still does asks anew: this call cannot know whether there is such a one.
void Service::withdraw_release(const std::string& volume, const std::string& id) {
  const auto attachment = store_.find_attachment(volume);
  if (!attachment || !attachment->value.release || attachment->value.release->id != id) return;
  Attachment next = attachment->value;
  next.release.reset();
  const std::string key = keys::attachment(volume);
  store_.commit(Change().require(key, attachment->revision).put(key, model::to_json(next)));
}

bool Service::remove_attachment(const model::Volume& volume,
                                const Versioned<Attachment>& attachment) {
  const std::string key = keys::attachment(volume.name);
  Change change;
  change.require(key, attachment.revision).remove(key).wake(volume);
  store_.remove_names(attachment.value, volume.name, change);
  return store_.commit(change);
}

void Service::await_ready(const model::Volume& volume, const std::string& node,
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
    return "waiting for volume " + volume.name + " to become ready on " + node +
           (status && !status->error.empty() ? ": " + status->error : "");
  });
}

void Service::detach(const api::DetachRequest& request, const Call& call) {
  check_node_name(request.node);
  check_node_name(request.name);
  const std::string volume_name =
      store_.find_named(request.node, request.name).value_or(request.name);
  note_subject(call, volume_name);
  const log::LogScope scope("volume", volume_name);
  while (true) {
    const auto volume = store_.find_volume(volume_name);
    const auto attachment = store_.find_attachment(volume_name);
    // Not attached, or unknown: that is what was asked for.
    if (!volume || !attachment || attachment->value.node != request.node) return;
    Attachment next = attachment->value;
    if (next.names.size() > 1 && next.names.erase(request.name) > 0) {
      const std::string key = keys::attachment(volume_name);
      if (store_.commit(Change()
                            .require(key, attachment->revision)
                            .put(key, model::to_json(next))
                            .remove(keys::name(request.node, request.name)))) {
        return;
      }
      continue;
    }
    if (is_gone(request.node)) {
      if (remove_attachment(volume->value, *attachment)) return;
      continue;
    }
    request_release(volume->value, *attachment,
                    "detach of " + request.name + " from " + request.node, "", call);
  }
}

}  // namespace plexvol::service
