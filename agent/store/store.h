// The store: a small, consistent map of keys to values that every agent sees the same way. Two
// implementations: FileStore (one node, files) and EtcdStore (a cluster). Typed access is in
// typed_store.h; nobody else builds keys.
//
// All calls may be made from any thread. Every call is bounded in time. Errors: Unavailable when
// the store cannot be reached or does not answer; for commit() that means "it may or may not have
// happened": look again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace plexvol::store {

struct Entry {
  std::string key;
  std::string value;
  std::int64_t revision =
      0;  // changes with every write of this key, and only grows across the whole store
};

// The key must still have this revision; 0: it must not exist.
struct Condition {
  std::string key;
  std::int64_t revision = 0;
};

// nullopt removes the key (no error when it is not there).
struct Write {
  std::string key;
  std::optional<std::string> value;
};

// In one request: etcd's own limit is 128.
inline constexpr std::size_t kMaxOperations = 64;

// All conditions hold: all writes happen at once, or none does. At most kMaxOperations conditions
// plus writes, and no key is written twice.
struct Transaction {
  std::vector<Condition> conditions;
  std::vector<Write> writes;
};

// Called from a thread of the store's own with a key that changed, or with the watched prefix
// itself when anything below it may have changed (at the start, after a reconnect, after a
// compaction). It is a hint to look, never the truth, and must not block.
using ChangeHandler = std::function<void(const std::string& key)>;

// Its life is the watch's life; the destructor returns after the last call of the handler has
// ended.
class Watch {
 public:
  virtual ~Watch() = default;
};

// A key that exists while this object lives and the store hears from us at least every `ttl`. It is
// made again by itself after the store had forgotten it.
class Presence {
 public:
  virtual ~Presence() = default;
};

class Store {
 public:
  virtual ~Store() = default;

  virtual std::optional<Entry> get(const std::string& key) = 0;
  // In the order of the keys, all of one revision; at most kMaxOperations.
  virtual std::vector<std::optional<Entry>> get_all(const std::vector<std::string>& keys) = 0;
  // Everything whose key starts with `prefix`, by key, all of one revision.
  virtual std::vector<Entry> list(const std::string& prefix) = 0;
  // false: a condition did not hold, nothing was written.
  virtual bool commit(const Transaction& transaction) = 0;
  // Calls the handler once with the prefix as soon as the watch stands.
  virtual std::unique_ptr<Watch> watch(const std::string& prefix, ChangeHandler on_change) = 0;
  // Removes the key when destroyed. Replaces a left-over of the same key from a former life of this
  // node. Written, now and later, only while the conditions hold; throws Error(Conflict) when they
  // do not.
  virtual std::unique_ptr<Presence> announce(const std::string& key, const std::string& value,
                                             std::chrono::seconds ttl,
                                             const std::vector<Condition>& conditions) = 0;
  virtual std::string kind() const = 0;  // "embedded", "etcd"
};

}  // namespace plexvol::store
