#include "agent/store/typed_store.h"

#include <algorithm>

#include "agent/api/error.h"
#include "agent/model/codec.h"

namespace plexvol::store {

namespace keys {

std::string node(const std::string& node) {
  return "nodes/" + node;
}
std::string alive(const std::string& node) {
  return "alive/" + node;
}
std::string cordon_prefix() {
  return "cordons/";
}
std::string cordon(const std::string& node) {
  return cordon_prefix() + node;
}
std::string volume(const std::string& volume) {
  return "volumes/" + volume;
}
std::string assigned_prefix(const std::string& node) {
  return "assigned/" + node + "/";
}
std::string assigned(const std::string& node, const std::string& volume) {
  return assigned_prefix(node) + volume;
}
std::string current(const std::string& volume) {
  return "current/" + volume;
}
std::string attachment(const std::string& volume) {
  return "attachments/" + volume;
}
std::string status(const std::string& node, const std::string& volume) {
  return "status/" + node + "/" + volume;
}
std::string name(const std::string& node, const std::string& name) {
  return "names/" + node + "/" + name;
}
std::string slot_prefix() {
  return "slots/";
}
std::string slot(unsigned slot) {
  return slot_prefix() + std::to_string(slot);
}
std::string next_slot() {
  return "slots-next";
}
std::string tenant(const std::string& volume) {
  return "tenants/" + volume;
}
std::string placement(const std::string& node) {
  return "placements/" + node;
}

}  // namespace keys

namespace {

template <class T>
std::optional<Versioned<T>> versioned(const std::optional<Entry>& entry) {
  if (!entry) return std::nullopt;
  return Versioned<T>{model::from_json<T>(entry->value), entry->revision};
}

template <class T>
std::optional<T> value_of(const std::optional<Entry>& entry) {
  if (!entry) return std::nullopt;
  return model::from_json<T>(entry->value);
}

// Of what somebody else says of itself: when nobody can read it, it has said nothing.
template <class T>
std::optional<T> readable_value_of(const std::optional<Entry>& entry) {
  try {
    return value_of<T>(entry);
  } catch (const Error&) {
    return std::nullopt;
  }
}

template <class T>
std::optional<Versioned<T>> find(Store& store, const std::string& key) {
  return versioned<T>(store.get(key));
}

template <class T>
std::vector<T> list(Store& store, const std::string& prefix) {
  std::vector<T> found;
  for (const Entry& entry : store.list(prefix)) {
    found.push_back(model::from_json<T>(entry.value));
  }
  return found;
}

std::set<std::string> list_names(Store& store, const std::string& prefix) {
  std::set<std::string> found;
  for (const Entry& entry : store.list(prefix)) found.insert(entry.key.substr(prefix.size()));
  return found;
}

using Entries = std::map<std::string, Entry>;  // by key

// As many in one request, and of one revision, as the store allows.
Entries read(Store& store, const std::vector<std::string>& keys) {
  Entries found;
  for (std::size_t first = 0; first < keys.size(); first += kMaxOperations) {
    const std::size_t count = std::min(kMaxOperations, keys.size() - first);
    const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(first);
    for (auto& entry : store.get_all({begin, begin + static_cast<std::ptrdiff_t>(count)})) {
      if (entry) found.emplace(entry->key, std::move(*entry));
    }
  }
  return found;
}

std::optional<Entry> entry_of(const Entries& entries, const std::string& key) {
  const auto found = entries.find(key);
  return found == entries.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::string> own_keys(const std::string& volume, const std::string& here) {
  return {keys::volume(volume), keys::attachment(volume), keys::current(volume),
          keys::status(here, volume), keys::assigned(here, volume)};
}

VolumeView to_view(const Entries& entries, const std::string& volume, const std::string& here) {
  const auto assigned = entry_of(entries, keys::assigned(here, volume));
  return {.volume = versioned<model::Volume>(entry_of(entries, keys::volume(volume))),
          .attachment = versioned<model::Attachment>(entry_of(entries, keys::attachment(volume))),
          .current = versioned<model::Current>(entry_of(entries, keys::current(volume))),
          .status = readable_value_of<model::Status>(entry_of(entries, keys::status(here, volume))),
          .assigned = assigned ? assigned->revision : 0,
          .nodes = {}};
}

std::vector<std::string> nodes_of(const VolumeView& view, const std::string& here) {
  if (!view.volume || !view.volume->value.concerns(here)) return {};
  const model::Volume& volume = view.volume->value;
  if (!volume.mirrored() && volume.find_replica(here) != nullptr) return {};
  return volume.nodes();
}

void add_nodes(Store& store, std::map<std::string, VolumeView>& views, const std::string& here) {
  std::set<std::string> keys;
  for (const auto& [volume, view] : views) {
    for (const std::string& node : nodes_of(view, here)) {
      keys.insert({keys::node(node), keys::alive(node), keys::status(node, volume)});
    }
  }
  const Entries entries = read(store, {keys.begin(), keys.end()});
  for (auto& [volume, view] : views) {
    for (const std::string& node : nodes_of(view, here)) {
      const auto session = entry_of(entries, keys::alive(node));
      view.nodes[node] = {
          .node = readable_value_of<model::Node>(entry_of(entries, keys::node(node))),
          .session = session ? std::optional(session->value) : std::nullopt,
          .status =
              readable_value_of<model::Status>(entry_of(entries, keys::status(node, volume)))};
    }
  }
}

}  // namespace

Change& Change::require(const std::string& key, std::int64_t revision) {
  transaction_.conditions.push_back({key, revision});
  return *this;
}

Change& Change::put(const std::string& key, std::string value) {
  transaction_.writes.push_back({key, std::move(value)});
  return *this;
}

Change& Change::remove(const std::string& key) {
  transaction_.writes.push_back({key, std::nullopt});
  return *this;
}

Change& Change::wake(const model::Volume& volume) {
  for (const std::string& node : volume.concerned_nodes()) {
    put(keys::assigned(node, volume.name), volume.id);
  }
  return *this;
}

Change remove_part(const Versioned<model::Volume>& volume, const std::string& node) {
  model::Volume next = volume.value;
  std::erase_if(next.replicas, [&](const auto& replica) { return replica.node == node; });
  next.former.erase(node);
  Change change;
  change.require(keys::volume(next.name), volume.revision)
      .remove(keys::assigned(node, next.name))
      .remove(keys::status(node, next.name));
  if (next.concerned_nodes().empty()) {
    change.remove(keys::volume(next.name))
        .remove(keys::current(next.name))
        .remove(keys::tenant(next.name));
    if (next.mirrored()) change.remove(keys::slot(next.minor - model::kFirstMinor));
  } else {
    change.put(keys::volume(next.name), model::to_json(next)).wake(next);
  }
  return change;
}

VolumeView TypedStore::view_volume(const std::string& volume, const std::string& here) {
  std::map<std::string, VolumeView> views;
  views.emplace(volume, to_view(read(store_, own_keys(volume, here)), volume, here));
  add_nodes(store_, views, here);
  return std::move(views.at(volume));
}

std::map<std::string, VolumeView> TypedStore::view_volumes(const std::vector<std::string>& volumes,
                                                           const std::string& here) {
  std::vector<std::string> keys;
  for (const std::string& volume : volumes) {
    for (std::string& key : own_keys(volume, here)) keys.push_back(std::move(key));
  }
  const Entries entries = read(store_, keys);
  std::map<std::string, VolumeView> views;
  for (const std::string& volume : volumes) {
    try {
      views.emplace(volume, to_view(entries, volume, here));
    } catch (const Error&) {
      // Its own pass will say so.
    }
  }
  add_nodes(store_, views, here);
  return views;
}

std::optional<Versioned<model::Volume>> TypedStore::find_volume(const std::string& name) {
  return find<model::Volume>(store_, keys::volume(name));
}

std::vector<model::Volume> TypedStore::list_volumes() {
  return list<model::Volume>(store_, keys::volume(""));
}

std::vector<model::Volume> TypedStore::list_volumes_on(const std::string& node) {
  std::vector<std::string> keys;
  for (const std::string& volume : list_assigned(node)) keys.push_back(keys::volume(volume));
  std::vector<model::Volume> volumes;
  for (const auto& [key, entry] : read(store_, keys)) {
    volumes.push_back(model::from_json<model::Volume>(entry.value));
  }
  return volumes;
}

std::optional<Versioned<model::Tenant>> TypedStore::find_tenant(const std::string& volume) {
  return find<model::Tenant>(store_, keys::tenant(volume));
}

std::optional<Versioned<model::Current>> TypedStore::find_current(const std::string& volume) {
  return find<model::Current>(store_, keys::current(volume));
}

std::optional<Versioned<model::Attachment>> TypedStore::find_attachment(const std::string& volume) {
  return find<model::Attachment>(store_, keys::attachment(volume));
}

std::optional<model::Status> TypedStore::find_status(const std::string& node,
                                                     const std::string& volume) {
  return value_of<model::Status>(store_.get(keys::status(node, volume)));
}

std::vector<model::Node> TypedStore::list_nodes() {
  return list<model::Node>(store_, keys::node(""));
}

std::optional<model::Node> TypedStore::find_node(const std::string& node) {
  return value_of<model::Node>(store_.get(keys::node(node)));
}

std::set<std::string> TypedStore::list_alive_nodes() {
  return list_names(store_, keys::alive(""));
}

std::optional<Versioned<model::Cordon>> TypedStore::find_cordon(const std::string& node) {
  return find<model::Cordon>(store_, keys::cordon(node));
}

std::map<std::string, model::Cordon> TypedStore::list_cordons() {
  std::map<std::string, model::Cordon> found;
  const std::string prefix = keys::cordon_prefix();
  for (const Entry& entry : store_.list(prefix)) {
    found[entry.key.substr(prefix.size())] = model::from_json<model::Cordon>(entry.value);
  }
  return found;
}

bool TypedStore::is_alive(const std::string& node) {
  return find_session(node).has_value();
}

std::optional<std::string> TypedStore::find_session(const std::string& node) {
  const auto entry = store_.get(keys::alive(node));
  return entry ? std::optional(entry->value) : std::nullopt;
}

std::set<std::string> TypedStore::list_assigned(const std::string& node) {
  return list_names(store_, keys::assigned_prefix(node));
}

std::set<unsigned> TypedStore::list_slots() {
  std::set<unsigned> slots;
  for (const std::string& slot : list_names(store_, keys::slot_prefix())) {
    slots.insert(static_cast<unsigned>(std::stoul(slot)));
  }
  return slots;
}

std::optional<std::string> TypedStore::find_named(const std::string& node,
                                                  const std::string& name) {
  const auto entry = store_.get(keys::name(node, name));
  if (!entry) return std::nullopt;
  return entry->value;
}

void TypedStore::put_status(const std::string& node, const model::Volume& volume,
                            std::int64_t assigned, const model::Status& status) {
  const std::string key = keys::assigned(node, volume.name);
  const auto put = [&](std::int64_t revision) {
    return commit(Change()
                      .require(key, revision)
                      .put(keys::status(node, volume.name), model::to_json(status)));
  };
  if (assigned != 0 && put(assigned)) return;
  // It was woken meanwhile, perhaps by the very pass that has this to say.
  const auto now = store_.get(key);
  if (now && now->value == volume.id) put(now->revision);
}

void TypedStore::put_node(const model::Node& node) {
  store_.commit(Change().put(keys::node(node.name), model::to_json(node)).transaction());
}

}  // namespace plexvol::store
