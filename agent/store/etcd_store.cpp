#include "agent/store/etcd_store.h"

#include <utility>

#include "agent/store/etcd_client.h"
#include "agent/store/etcd_presence.h"
#include "agent/store/etcd_watch.h"
#include "agent/store/transaction_check.h"

namespace plexvol::store {

EtcdStore::EtcdStore(const EtcdSettings& settings)
    : client_(std::make_shared<EtcdClient>(settings)) {}

EtcdStore::~EtcdStore() = default;

std::optional<Entry> EtcdStore::get(const std::string& key) {
  return client_->get(key);
}

std::vector<std::optional<Entry>> EtcdStore::get_all(const std::vector<std::string>& keys) {
  check_keys(keys);
  return client_->get_all(keys);
}

std::vector<Entry> EtcdStore::list(const std::string& prefix) {
  return client_->list(prefix);
}

bool EtcdStore::commit(const Transaction& transaction) {
  check_transaction(transaction);
  return client_->commit(transaction);
}

std::unique_ptr<Watch> EtcdStore::watch(const std::string& prefix, ChangeHandler on_change) {
  return make_etcd_watch(client_, prefix, std::move(on_change));
}

std::unique_ptr<Presence> EtcdStore::announce(const std::string& key, const std::string& value,
                                              std::chrono::seconds ttl,
                                              const std::vector<Condition>& conditions) {
  check_transaction({.conditions = conditions, .writes = {{key, value}}});
  return make_etcd_presence(client_, {.key = key, .value = value, .conditions = conditions}, ttl);
}

}  // namespace plexvol::store
