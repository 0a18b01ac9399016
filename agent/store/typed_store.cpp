#include "agent/store/typed_store.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "agent/api/error.h"
#include "agent/model/codec.h"
#include "agent/store/sets.h"

namespace plexvol::store {

namespace {

template <class T>
std::optional<Versioned<T>> versioned(const std::optional<Entry>& entry) {
  if (!entry) return std::nullopt;
  return Versioned<T>{read_record<T>(*entry), entry->revision};
}

template <class T>
std::optional<T> value_of(const std::optional<Entry>& entry) {
  if (!entry) return std::nullopt;
  return read_record<T>(*entry);
}

template <class T>
std::optional<Versioned<T>> find(Store& store, const std::string& key) {
  return versioned<T>(store.get(key));
}

template <class T>
std::vector<T> values_of(Listing<T> listing) {
  std::vector<T> values;
  for (auto& [name, record] : listing.records) values.push_back(std::move(record));
  return values;
}

std::set<std::string> list_names(Store& store, const std::string& prefix) {
  std::set<std::string> found;
  for (const Entry& entry : store.list(prefix)) found.insert(entry.key.substr(prefix.size()));
  return found;
}

std::optional<unsigned> to_slot(const std::string& text) {
  unsigned slot = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, slot);
  if (error != std::errc() || stop != end || slot > model::kSlots) return std::nullopt;
  return slot;
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
  return {keys::volume(volume),       keys::attachment(volume),     keys::current(volume),
          keys::status(here, volume), keys::assigned(here, volume), keys::history(volume)};
}

// Of what somebody says of himself: when nobody can read it, he has said nothing.
template <class T>
std::optional<T> readable_value_of(const std::optional<Entry>& entry, UnreadableLog& log) {
  try {
    return value_of<T>(entry);
  } catch (const Error& error) {
    log.tell(*entry, error);
    return std::nullopt;
  }
}

VolumeView to_view(const Entries& entries, const std::string& volume, const std::string& here,
                   UnreadableLog& log) {
  const auto assigned = entry_of(entries, keys::assigned(here, volume));
  return {.volume = versioned<model::Volume>(entry_of(entries, keys::volume(volume))),
          .attachment = versioned<model::Attachment>(entry_of(entries, keys::attachment(volume))),
          .current = to_set(entry_of(entries, keys::current(volume)),
                            entry_of(entries, keys::history(volume))),
          .status =
              readable_value_of<model::Status>(entry_of(entries, keys::status(here, volume)), log),
          .assigned = assigned ? assigned->revision : 0,
          .nodes = {}};
}

std::vector<std::string> nodes_of(const VolumeView& view, const std::string& here) {
  if (!view.volume || !view.volume->value.concerns(here)) return {};
  const model::Volume& volume = view.volume->value;
  if (volume.wanted_copies() == 1 && volume.find_replica(here) != nullptr) return {};
  return volume.nodes();
}

void add_nodes(Store& store, std::map<std::string, VolumeView>& views, const std::string& here,
               UnreadableLog& log) {
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
          .node = readable_value_of<model::Node>(entry_of(entries, keys::node(node)), log),
          .session = session ? std::optional(session->value) : std::nullopt,
          .status =
              readable_value_of<model::Status>(entry_of(entries, keys::status(node, volume)), log)};
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
        .remove(keys::history(next.name))
        .remove(keys::tenant(next.name));
    if (const auto slot = next.slot()) change.remove(keys::slot(*slot));
  } else {
    change.put(keys::volume(next.name), model::to_json(next)).wake(next);
  }
  return change;
}

VolumeView TypedStore::view_volume(const std::string& volume, const std::string& here) {
  std::map<std::string, VolumeView> views;
  views.emplace(volume,
                to_view(read(store_, own_keys(volume, here)), volume, here, unreadable_log_));
  add_nodes(store_, views, here, unreadable_log_);
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
      views.emplace(volume, to_view(entries, volume, here, unreadable_log_));
    } catch (const Error&) {
      // Its own pass will say so.
    }
  }
  add_nodes(store_, views, here, unreadable_log_);
  return views;
}

std::optional<Versioned<model::Volume>> TypedStore::find_volume(const std::string& name) {
  return find<model::Volume>(store_, keys::volume(name));
}

template <class T>
Listing<T> TypedStore::list(const std::string& prefix) {
  Listing<T> listing;
  for (const Entry& entry : store_.list(prefix)) {
    const std::string name = entry.key.substr(prefix.size());
    try {
      listing.records.emplace(name, read_record<T>(entry));
    } catch (const Error& error) {
      unreadable_log_.tell(entry, error);
      listing.unreadable.push_back({.key = entry.key, .name = name, .why = error.what()});
    }
  }
  return listing;
}

Listing<model::Volume> TypedStore::read_volumes() {
  return list<model::Volume>(keys::volume(""));
}

std::vector<model::Volume> TypedStore::list_volumes() {
  return values_of(read_volumes());
}

Listing<model::Current> TypedStore::list_current() {
  return list<model::Current>(keys::current_prefix());
}

Listing<model::Attachment> TypedStore::list_attachments() {
  return list<model::Attachment>(keys::attachment(""));
}

Listing<model::Status> TypedStore::list_status() {
  return list<model::Status>(keys::status_prefix());
}

Listing<model::Tenant> TypedStore::list_tenants() {
  return list<model::Tenant>(keys::tenant(""));
}

std::vector<Unreadable> TypedStore::list_unreadable() {
  std::vector<Unreadable> all;
  const auto add = [&all](std::vector<Unreadable> some) {
    std::ranges::move(some, std::back_inserter(all));
  };
  add(read_volumes().unreadable);
  add(list_current().unreadable);
  add(list_attachments().unreadable);
  add(list_status().unreadable);
  add(list_tenants().unreadable);
  add(list<model::History>(keys::history("")).unreadable);
  add(list<model::Node>(keys::node("")).unreadable);
  add(list<model::Cordon>(keys::cordon_prefix()).unreadable);
  add(list<model::Machine>(keys::machine("")).unreadable);
  return all;
}

std::vector<model::Volume> TypedStore::list_volumes_on(const std::string& node) {
  std::vector<std::string> keys;
  for (const std::string& volume : list_assigned(node)) keys.push_back(keys::volume(volume));
  std::vector<model::Volume> volumes;
  for (const auto& [key, entry] : read(store_, keys)) {
    auto volume = readable_value_of<model::Volume>(entry, unreadable_log_);
    if (volume) volumes.push_back(*std::move(volume));
  }
  return volumes;
}

std::optional<Versioned<model::Tenant>> TypedStore::find_tenant(const std::string& volume) {
  return find<model::Tenant>(store_, keys::tenant(volume));
}

std::optional<Versioned<model::Current>> TypedStore::find_current(const std::string& volume) {
  const auto entries = store_.get_all({keys::current(volume), keys::history(volume)});
  return to_set(entries[0], entries[1]);
}

std::optional<Versioned<model::RolledBack>> TypedStore::find_rolled_back() {
  return find<model::RolledBack>(store_, keys::rolled_back());
}

std::optional<Versioned<model::Attachment>> TypedStore::find_attachment(const std::string& volume) {
  return find<model::Attachment>(store_, keys::attachment(volume));
}

std::optional<model::Status> TypedStore::find_status(const std::string& node,
                                                     const std::string& volume) {
  return value_of<model::Status>(store_.get(keys::status(node, volume)));
}

std::vector<model::Node> TypedStore::list_nodes() {
  return values_of(list<model::Node>(keys::node("")));
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
  auto listing = list<model::Cordon>(keys::cordon_prefix());
  // Somebody wanted no new copy there, whatever else.
  for (const Unreadable& unreadable : listing.unreadable) listing.records[unreadable.name] = {};
  return std::move(listing.records);
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
  for (const Entry& entry : store_.list(keys::slot_prefix())) {
    const auto slot = to_slot(entry.key.substr(keys::slot_prefix().size()));
    if (slot) {
      slots.insert(*slot);
    } else {
      unreadable_log_.tell(entry,
                           Error(ErrorCode::Internal, entry.key + ": not the key of a slot"));
    }
  }
  return slots;
}

Versioned<unsigned> TypedStore::find_next_slot() {
  const auto entry = store_.get(keys::next_slot());
  return {.value = entry ? to_slot(entry->value).value_or(0) : 0,
          .revision = entry ? entry->revision : 0};
}

std::optional<std::string> TypedStore::find_named(const std::string& node,
                                                  const std::string& name) {
  const auto entry = store_.get(keys::name(node, name));
  if (!entry) return std::nullopt;
  return entry->value;
}

void TypedStore::remove_names(const model::Attachment& attachment, const std::string& volume,
                              Change& change) {
  for (const std::string& name : attachment.names) {
    const std::string key = keys::name(attachment.node, name);
    const auto entry = store_.get(key);
    if (entry && entry->value == volume) change.require(key, entry->revision).remove(key);
  }
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
