#include "agent/cluster/nodes.h"

#include <fmt/core.h>

#include <ctime>

#include "agent/api/names.h"
#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/placement/promises.h"
#include "agent/store/taken.h"
#include "agent/volumes/witness.h"

namespace plexvol::cluster {

namespace {

using store::Change;
using Left = api::NodeChangeReply::Left;
namespace keys = store::keys;

void set_cordon(const std::string& node, bool drain, bool forget, store::TypedStore& store) {
  const auto found = store.find_cordon(node);
  model::Cordon next = found ? found->value : model::Cordon{.since = std::time(nullptr)};
  if (found && next.drain == drain && next.forget == forget) return;
  next.drain = drain;
  next.forget = forget;
  // Two people at once: each sees the other's wish, and asks again.
  Change change;
  change.require(keys::cordon(node), found ? found->revision : 0)
      .put(keys::cordon(node), model::to_json(next));
  if (forget) change.require(keys::alive(node), 0);
  if (!store.commit(change)) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("node {}: changed concurrently; try again", node));
  }
}

// What keeps the copy on this node from being whole: ": n3 has 40%".
std::string describe_unwhole(const std::string& node, const model::Volume& volume,
                             store::TypedStore& store) {
  if (!store.is_alive(node)) return fmt::format(": {} does not answer", node);
  const auto status = store.find_status(node, volume.name);
  if (!status) return fmt::format(": {} has 0%", node);
  if (!status->error.empty()) return fmt::format(": {}: {}", node, status->error);
  const auto percent = static_cast<int>(status->synced_percent);
  return percent < 100 ? fmt::format(": {} has {}%", node, percent) : "";
}

// Of the only copy, which needs a second one first.
Left describe_single(const std::string& node, const model::Volume& volume,
                     store::TypedStore& store) {
  const auto left = [&](const std::string& why, bool needs_person) {
    return Left{.volume = volume.name, .why = why, .needs_person = needs_person};
  };
  if (!store.is_alive(node)) {
    return left("its only replica is there: bring the node back, or delete the volume", true);
  }
  if (const auto attachment = store.find_attachment(volume.name)) {
    return left(fmt::format("its only replica is there, and the volume is attached to {}: it moves "
                            "once its pod has left",
                            attachment->value.node),
                true);
  }
  const auto status = store.find_status(node, volume.name);
  if (status && !status->error.empty()) {
    return left("its only replica is there: " + status->error,
                status->error_code != ErrorCode::Unavailable);
  }
  return left("waiting for its turn to be moved", false);
}

// The reason why the copy of this volume is still there.
Left describe_left(const std::string& node, const model::Volume& volume, store::TypedStore& store) {
  const auto left = [&](const std::string& why, bool needs_person) {
    return Left{.volume = volume.name, .why = why, .needs_person = needs_person};
  };
  if (volume.deleting) return left("is being deleted", false);
  if (volume.find_replica(node) == nullptr) {
    std::string why = "its old replica is removed once the others are up to date";
    for (const std::string& other : volume.nodes()) why += describe_unwhole(other, volume, store);
    return left(why, false);
  }
  if (volume.wanted_copies() == 1) return describe_single(node, volume, store);
  const std::string peer = volume.peer_of(node);
  const auto current = store.find_current(volume.name);
  if (peer.empty() || !current || !current->value.nodes.contains(peer)) {
    return left(
        peer.empty()
            ? "its only replica is there until a second one is complete"
            : fmt::format("its newest data is only there until {} has been resynchronised", peer),
        !store.is_alive(node) || (!peer.empty() && !store.is_alive(peer)));
  }
  const auto attachment = store.find_attachment(volume.name);
  if (attachment && attachment->value.node == node && store.is_alive(node)) {
    return left("is in use there: move its pod away", true);
  }
  if (!store.is_alive(peer)) return left("waiting for the agent on " + peer, false);
  const auto status = store.find_status(peer, volume.name);
  if (status && !status->error.empty()) {
    return left(fmt::format("{}: {}", peer, status->error),
                status->error_code != ErrorCode::Unavailable);
  }
  return left("waiting for its turn to be moved", false);
}

// What a lost node was still to do itself: nobody does it any more.
void do_without(const std::string& node, const model::Volume& volume, store::TypedStore& store) {
  const auto found = store.find_volume(volume.name);
  if (!found || found->value.id != volume.id) return;
  // A copy that is still one of the volume's is first replaced by the node of the other.
  if (found->value.find_replica(node) != nullptr && !found->value.deleting) return;
  store.commit(store::remove_part(*found, node).require(keys::alive(node), 0));
}

void remove_keys(const std::string& node, const std::vector<std::string>& names,
                 store::TypedStore& store) {
  Change change;
  change.require(keys::alive(node), 0);
  for (const std::string& name : names) change.remove(name);
  if (store.commit(change)) return;
  throw Error(ErrorCode::Conflict,
              fmt::format("node {} is running again: it was not forgotten", node));
}

// With all that is kept under its name, and itself last. One by one: etcd takes 128 operations in a
// transaction.
void remove_node(const std::string& node, store::TypedStore& store) {
  for (const std::string& prefix :
       {keys::assigned_prefix(node), keys::status(node, ""), keys::name(node, "")}) {
    for (const auto& entry : store.raw().list(prefix)) remove_keys(node, {entry.key}, store);
  }
  remove_keys(node,
              {keys::node(node), keys::cordon(node), keys::placement(node), keys::taken(node),
               keys::machine(node)},
              store);
  log::warn(fmt::format("node {} was forgotten", node));
}

// Who died with a volume has it no longer.
void drop_attachments(const std::string& node, store::TypedStore& store) {
  for (const auto& [volume, listed] : store.list_attachments().records) {
    if (listed.node != node) continue;
    const auto held = store.find_attachment(volume);
    if (!held || held->value.node != node) continue;
    const std::string key = keys::attachment(volume);
    Change change;
    change.require(key, held->revision).require(keys::alive(node), 0).remove(key);
    store.remove_names(held->value, volume, change);
    store.commit(change);
  }
}

// Their copies may be on any node.
void add_unreadable(const std::vector<store::Unreadable>& unreadable, std::vector<Left>& left) {
  for (const auto& record : unreadable) {
    left.push_back({.volume = record.name, .why = record.why, .needs_person = true});
  }
}

std::vector<Left> list_left(const std::string& node, store::TypedStore& store) {
  std::vector<Left> left;
  const auto listing = store.read_volumes();
  for (const auto& [name, volume] : listing.records) {
    if (volume.concerns(node)) left.push_back(describe_left(node, volume, store));
  }
  add_unreadable(listing.unreadable, left);
  return left;
}

std::vector<Left> list_connected(const std::string& node, store::TypedStore& store) {
  std::vector<Left> left;
  const auto listing = store.read_volumes();
  add_unreadable(listing.unreadable, left);
  for (const auto& [name, volume] : listing.records) {
    const auto witness = volumes::find_witness(volume, node, store);
    if (!witness) continue;
    left.push_back(
        {.volume = volume.name,
         .why = fmt::format(
             "{} is still connected to its replica: {} is running, even if its agent is not",
             *witness, node),
         .needs_person = false});
  }
  return left;
}

[[noreturn]] void throw_unknown_node(const std::string& node, store::TypedStore& store) {
  std::string known;
  for (const model::Node& other : store.list_nodes()) {
    known.append(known.empty() ? "" : ", ").append(other.name);
  }
  throw Error(ErrorCode::NotFound,
              fmt::format("no node named {}; there are: {}", node, known.empty() ? "none" : known));
}

std::vector<Left> forget(const std::string& node, store::TypedStore& store) {
  if (store.is_alive(node)) {
    throw Error(
        ErrorCode::Conflict,
        fmt::format(
            "the agent on {0} is running: to empty a running node, use `plexvol node drain {0}`",
            node));
  }
  if (auto connected = list_connected(node, store); !connected.empty()) return connected;
  set_cordon(node, true, true, store);
  drop_attachments(node, store);
  for (const model::Volume& volume : store.list_volumes()) {
    if (volume.concerns(node)) do_without(node, volume, store);
  }
  std::vector<Left> left = list_left(node, store);
  if (left.empty()) remove_node(node, store);
  return left;
}

// The next machine that calls itself so may be it.
void give_name_up(const std::string& node, store::TypedStore& store) {
  if (store.commit(Change().require(keys::alive(node), 0).remove(keys::machine(node)))) return;
  throw Error(
      ErrorCode::Conflict,
      fmt::format("node {}: its agent is running or was a moment ago: stop that machine first",
                  node));
}

std::string describe_cordon(const model::Cordon& cordon) {
  if (cordon.forget) return "being forgotten";
  return cordon.drain ? "draining" : "cordoned";
}

}  // namespace

std::vector<api::NodeInfo> list_nodes(store::TypedStore& store) {
  const auto alive = store.list_alive_nodes();
  const auto cordons = store.list_cordons();
  auto promised = placement::list_promises(store.list_volumes());
  std::vector<api::NodeInfo> nodes;
  for (const model::Node& node : store.list_nodes()) {
    api::NodeInfo info{.name = node.name,
                       .alive = alive.contains(node.name),
                       .address = node.address,
                       .version = node.version,
                       .drbd_version = node.drbd_version,
                       .cordon = {},
                       .pools = {}};
    if (const auto cordon = cordons.find(node.name); cordon != cordons.end()) {
      info.cordon = describe_cordon(cordon->second);
    }
    placement::Promises& promises = promised[node.name];
    for (const model::Pool& pool : node.pools) {
      info.pools.push_back({.name = pool.name,
                            .type = pool.type,
                            .total_bytes = pool.total_bytes,
                            .free_bytes = pool.free_bytes,
                            .error = pool.error,
                            .promised_bytes = promises[pool.name].bytes,
                            .max_promised_percent = pool.max_promised_percent});
    }
    nodes.push_back(std::move(info));
  }
  return nodes;
}

api::NodeChangeReply change_node(store::TypedStore& store, const api::NodeChange& request,
                                 const std::string& here,
                                 const std::function<void()>& give_own_name_up) {
  const std::string& node = request.name;
  check_node_name(node);
  if (request.action == "adopt") {
    node == here ? give_own_name_up() : give_name_up(node, store);
    return {};
  }
  if (!store.find_node(node)) throw_unknown_node(node, store);
  if (request.action == "forget") return {.left = forget(node, store)};
  if (request.action == "uncordon") {
    store.commit(Change().remove(keys::cordon(node)));
    return {};
  }
  if (request.action != "cordon" && request.action != "drain") {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("unknown action \"{}\"; use cordon, uncordon, drain, forget or adopt",
                            request.action));
  }
  const bool drain = request.action == "drain";
  // To cordon a node that is being drained, or forgotten, changes nothing.
  if (drain || !store.find_cordon(node)) set_cordon(node, drain, false, store);
  return {.left = drain ? list_left(node, store) : std::vector<Left>{}};
}

}  // namespace plexvol::cluster
