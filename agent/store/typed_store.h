// The store in the model's words.
//
// Single records: what cannot be read throws Error(Internal), naming the key. Lists pass over it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/model/model.h"
#include "agent/store/keys.h"
#include "agent/store/records.h"
#include "agent/store/store.h"

namespace plexvol::store {

template <class T>
struct Versioned {
  T value;
  std::int64_t revision = 0;
};

// A transaction in the making. Conditions are named by what was read.
class Change {
 public:
  Change& require(const std::string& key, std::int64_t revision);
  Change& put(const std::string& key, std::string value);
  Change& remove(const std::string& key);
  // Wakes the agents of all the volume's nodes: each watches only its own part of the store.
  Change& wake(const model::Volume& volume);
  const Transaction& transaction() const { return transaction_; }

 private:
  Transaction transaction_;
};

// This node's part of the volume is gone. The last node to say so takes the volume along, and sets
// its DRBD minor and port free.
Change remove_part(const Versioned<model::Volume>& volume, const std::string& node);

// What an agent goes by for a node that has a copy of the volume.
struct NodeView {
  std::optional<model::Node> node;
  std::optional<std::string> session;  // as find_session()
  std::optional<model::Status> status;
};

// What it goes by for the volume. First all of one revision but the nodes, then these.
struct VolumeView {
  std::optional<Versioned<model::Volume>> volume;
  std::optional<Versioned<model::Attachment>> attachment;
  std::optional<Versioned<model::Current>> current;
  std::optional<model::Status> status;  // of the agent's own node
  std::int64_t assigned = 0;            // revision; 0: not assigned to the agent's node
  // Those with a copy, where the agent's node has no copy itself or is to mirror one.
  std::map<std::string, NodeView> nodes;
};

class TypedStore {
 public:
  explicit TypedStore(Store& store) : store_(store) {}

  VolumeView view_volume(const std::string& volume, const std::string& here);
  // So many in two requests, or three when most are copies that moved away; what nobody can read
  // is left out.
  static constexpr std::size_t kMaxViews = 10;
  std::map<std::string, VolumeView> view_volumes(const std::vector<std::string>& volumes,
                                                 const std::string& here);
  std::optional<Versioned<model::Volume>> find_volume(const std::string& name);
  std::vector<model::Volume> list_volumes();
  // That the node has to look after.
  std::vector<model::Volume> list_volumes_on(const std::string& node);
  std::optional<Versioned<model::Tenant>> find_tenant(const std::string& volume);
  // For whoever must not take one that nobody can read for one that is not there.
  Listing<model::Volume> read_volumes();
  Listing<model::Current> list_current();
  Listing<model::Attachment> list_attachments();
  Listing<model::Tenant> list_tenants();
  Listing<model::Status> list_status();  // by "<node>/<volume>"
  // Of all kinds.
  std::vector<Unreadable> list_unreadable();
  // With its history, of the same revision: that changes only together with the set.
  std::optional<Versioned<model::Current>> find_current(const std::string& volume);
  std::optional<Versioned<model::RolledBack>> find_rolled_back();
  std::optional<Versioned<model::Attachment>> find_attachment(const std::string& volume);
  std::optional<model::Status> find_status(const std::string& node, const std::string& volume);
  std::vector<model::Node> list_nodes();
  std::optional<model::Node> find_node(const std::string& node);
  std::set<std::string> list_alive_nodes();
  // Of the agent that holds the node's lease; nullopt when none does.
  std::optional<std::string> find_session(const std::string& node);
  std::optional<Versioned<model::Cordon>> find_cordon(const std::string& node);
  // By node. One that cannot be read counts as a cordon without a drain.
  std::map<std::string, model::Cordon> list_cordons();
  bool is_alive(const std::string& node);
  std::set<std::string> list_assigned(const std::string& node);
  std::set<unsigned> list_slots();       // that are taken
  Versioned<unsigned> find_next_slot();  // revision 0: there is none
  // The volume that this name stands for on this node.
  std::optional<std::string> find_named(const std::string& node, const std::string& name);
  // The volume's attachment ends: its names stand for nothing any more, unless another volume has
  // taken one over.
  void remove_names(const model::Attachment& attachment, const std::string& volume, Change& change);

  // Only while this very volume is assigned to the node, so that a late pass leaves no status
  // behind a deleted one. `assigned`: the assignment's revision as last read, which saves a
  // request.
  void put_status(const std::string& node, const model::Volume& volume, std::int64_t assigned,
                  const model::Status& status);
  void put_node(const model::Node& node);

  bool commit(const Change& change) { return store_.commit(change.transaction()); }
  Store& raw() { return store_; }

 private:
  template <class T>
  Listing<T> list(const std::string& prefix);

  Store& store_;
  UnreadableLog unreadable_log_;
};

}  // namespace plexvol::store
