// What the store asks of etcd, in the store's words. Private to the etcd_* files.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "agent/store/etcd_store.h"

namespace grpc {
class ClientContext;
}

namespace etcdserverpb {
class KeyValue;
}

namespace plexvol::store {

class EtcdCaller;

// Ends all calls made under it, now and later, so that a destructor need not wait for their
// deadlines.
class Cancellation {
 public:
  void cancel();
  bool cancelled() const;
  // True when cancelled, false when the time is over.
  bool wait_for(std::chrono::milliseconds time);

  // While it lives, `context` is ended by cancel().
  class Scope {
   public:
    Scope(Cancellation& cancellation, grpc::ClientContext& context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Cancellation& cancellation_;
    grpc::ClientContext& context_;
  };

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<grpc::ClientContext*> contexts_;
  bool cancelled_ = false;
};

// Random, so that a thousand agents do not come back to a restarted etcd in one moment.
class RetryDelay {
 public:
  explicit RetryDelay(std::chrono::milliseconds longest);
  std::chrono::milliseconds next();
  void reset() { limit_ = kFirst; }

 private:
  static constexpr std::chrono::milliseconds kFirst{1'000};
  std::chrono::milliseconds longest_;
  std::chrono::milliseconds limit_ = kFirst;
  std::minstd_rand random_;
};

struct WatchNews {
  bool created = false;
  bool canceled = false;
  bool compacted = false;  // canceled, because the revision asked for is no longer there
  std::uint64_t cluster = 0;
  std::int64_t revision = 0;       // of the store, when this was sent
  std::int64_t last_revision = 0;  // of the last of the keys
  std::vector<std::string> keys;   // that changed
};

// A key that ends with a lease, and what must hold for it to be written.
struct LeasedKey {
  std::string key;
  std::string value;
  std::vector<Condition> conditions;
};

class EtcdWatchStream {
 public:
  virtual ~EtcdWatchStream() = default;
  // nullopt: the stream is over.
  virtual std::optional<WatchNews> read() = 0;
};

// All keys are the store's, without the key prefix. All calls may throw Error(Unavailable) and
// Error(Internal).
class EtcdClient {
 public:
  explicit EtcdClient(const EtcdSettings& settings);
  ~EtcdClient();
  EtcdClient(const EtcdClient&) = delete;
  EtcdClient& operator=(const EtcdClient&) = delete;

  std::optional<Entry> get(const std::string& key);
  std::vector<std::optional<Entry>> get_all(const std::vector<std::string>& keys);
  std::vector<Entry> list(const std::string& prefix);
  bool commit(const Transaction& transaction);

  // Answers from whatever the nearest member knows, which may be old.
  bool probably_exists(const std::string& key, Cancellation& cancellation);
  // False when a condition does not hold.
  bool put_with_lease(const LeasedKey& key, std::int64_t lease, Cancellation& cancellation);
  std::int64_t grant_lease(std::chrono::seconds ttl, Cancellation& cancellation);
  // False when etcd does not know the lease any more.
  bool keep_lease(std::int64_t lease, Cancellation& cancellation);
  void revoke_lease(std::int64_t lease, std::chrono::milliseconds timeout);

  // From `start_revision` on; 0: from now on. The stream must not outlive the client and the
  // cancellation.
  std::unique_ptr<EtcdWatchStream> open_watch(const std::string& prefix,
                                              std::int64_t start_revision,
                                              Cancellation& cancellation);

 private:
  struct Page;
  Page read_page(const std::string& key, const std::string& range_end, std::int64_t revision);
  std::optional<std::vector<Entry>> try_list(const std::string& prefix);
  Entry to_entry(etcdserverpb::KeyValue& found) const;
  std::string full_key(const std::string& key) const { return key_prefix_ + key; }

  const std::string key_prefix_;
  const std::chrono::milliseconds timeout_;
  StoreSeen* const seen_;
  const std::unique_ptr<EtcdCaller> caller_;
  Cancellation never_;
};

}  // namespace plexvol::store
