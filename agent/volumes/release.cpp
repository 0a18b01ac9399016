#include "agent/volumes/release.h"

#include <fmt/core.h>

#include "agent/api/random.h"
#include "agent/model/codec.h"

namespace plexvol::volumes {

using model::Attachment;
using store::Change;
using store::Versioned;
namespace keys = store::keys;

bool Releases::is_gone(const std::string& node) const {
  return node != settings_.here && !store_.is_alive(node);
}

bool Releases::is_cut_off(const std::string& volume, const std::string& node) {
  const auto status = store_.find_status(node, volume);
  return status && store_.find_session(node) == status->session && !status->connection.empty() &&
         status->connection != "Connected" &&
         (status->disk_state == "UpToDate" || status->disk_state == "Consistent");
}

// What was seen of a holder that should have answered; what has changed since shows in a revision.
std::optional<Silent> Releases::find_silent(const std::string& volume, const std::string& taker,
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
std::optional<std::string> Releases::join_or_ask(const model::Volume& volume,
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
std::optional<Silent> Releases::request(const model::Volume& volume,
                                        const Versioned<Attachment>& attachment,
                                        const std::string& reason, const std::string& taker,
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
      return fmt::format("waiting for {} to release volume {}{}", node, volume.name,
                         status && !status->error.empty() ? ": " + status->error : "");
    });
  } catch (const Error&) {
    withdraw(volume.name, id);
    throw;
  }
  if (refusal.empty()) return silent;
  withdraw(volume.name, id);
  throw Error(ErrorCode::Conflict, refusal);
}

void Releases::withdraw(const std::string& volume, const std::string& id) {
  const auto attachment = store_.find_attachment(volume);
  if (!attachment || !attachment->value.release || attachment->value.release->id != id) return;
  Attachment next = attachment->value;
  next.release.reset();
  const std::string key = keys::attachment(volume);
  store_.commit(Change().require(key, attachment->revision).put(key, model::to_json(next)));
}

// What the holder sees after this call, which its last status may not tell. nullopt: the attachment
// has changed.
std::optional<model::Status> Releases::ask_holder(
    const model::Volume& volume, const store::Versioned<model::Attachment>& attachment,
    const Call& call) {
  const std::string& node = attachment.value.node;
  const std::string key = keys::attachment(volume.name);
  // Its new revision makes the node look again.
  if (!store_.commit(Change()
                         .require(key, attachment.revision)
                         .put(key, model::to_json(attachment.value))
                         .wake(volume))) {
    return std::nullopt;
  }
  Awaiter awaiter(store_.raw(), {key, keys::status(node, volume.name)});
  using Answer = std::optional<model::Status>;
  const auto look = [&]() -> std::optional<Answer> {
    const auto now = store_.find_attachment(volume.name);
    if (!now || now->value.node != node) return Answer{};
    auto status = store_.find_status(node, volume.name);
    if (!status || status->attachment_revision <= attachment.revision) return std::nullopt;
    return status;
  };
  return awaiter.until<Answer>(call, look, [&] {
    return fmt::format("waiting for {} to report where volume {} is mounted", node, volume.name);
  });
}

}  // namespace plexvol::volumes
