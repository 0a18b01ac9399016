// The store of a cluster: etcd, v3 API, 3.1 or newer.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/store/store.h"

namespace plexvol::store {

class EtcdClient;
class StoreSeen;

struct EtcdSettings {
  // "https://10.0.0.1:2379"; without a scheme it is https when a certificate or an authority is
  // set, without a port 2379.
  std::vector<std::string> endpoints;
  // PEM files, read again when they change. No authority: the system's.
  std::string ca_file;
  std::string certificate_file;  // with key_file, or neither
  std::string key_file;
  std::string
      server_name;  // to be found in the server's certificate, when that is not the endpoint's host
  std::string user;  // empty: no password authentication
  std::string password;
  std::chrono::milliseconds request_timeout{5'000};  // of one call, over all endpoints
  std::string key_prefix = "/plexvol/";              // of every key, so that an etcd can be shared
  StoreSeen* seen = nullptr;  // told of each linearizable answer; must outlive the store's calls
};

// Reads are linearizable. A commit is sent at most once: when its answer is lost, it throws
// Unavailable and the message says that it may or may not have been applied; all other messages of
// commit() mean that nothing was written. What no asking again can help (a password, a permission,
// a transaction that is too large) is Error(Internal).
//
// Watches and presences may outlive the store. Destructors wait for calls under way to be
// cancelled, and a presence at most 2 s for etcd to take its key away; when it cannot, the key goes
// after its time to live.
class EtcdStore : public Store {
 public:
  // Does not connect. Throws Error(InvalidArgument) for endpoints or files that can never work.
  explicit EtcdStore(const EtcdSettings& settings);
  ~EtcdStore() override;
  EtcdStore(const EtcdStore&) = delete;
  EtcdStore& operator=(const EtcdStore&) = delete;

  std::optional<Entry> get(const std::string& key) override;
  std::vector<std::optional<Entry>> get_all(const std::vector<std::string>& keys) override;
  std::vector<Entry> list(const std::string& prefix) override;
  bool commit(const Transaction& transaction) override;
  // Does not wait for etcd, and never fails: it connects again for ever, with growing, random
  // delays of up to 10 s, and goes on where it was.
  std::unique_ptr<Watch> watch(const std::string& prefix, ChangeHandler on_change) override;
  // The key exists when it returns. etcd does not know a `ttl` below 2 s.
  std::unique_ptr<Presence> announce(const std::string& key, const std::string& value,
                                     std::chrono::seconds ttl,
                                     const std::vector<Condition>& conditions) override;
  std::string kind() const override { return "etcd"; }

 private:
  std::shared_ptr<EtcdClient> client_;
};

}  // namespace plexvol::store
