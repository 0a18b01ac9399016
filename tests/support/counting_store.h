// Any store, and how often it was asked or written to.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/store/store.h"

namespace plexvol::support {

class CountingStore : public store::Store {
 public:
  explicit CountingStore(store::Store& store) : store_(store) {}
  std::optional<store::Entry> get(const std::string& key) override {
    ++requests;
    return store_.get(key);
  }
  std::vector<std::optional<store::Entry>> get_all(const std::vector<std::string>& keys) override {
    ++requests;
    return store_.get_all(keys);
  }
  std::vector<store::Entry> list(const std::string& prefix) override {
    ++requests;
    return store_.list(prefix);
  }
  bool commit(const store::Transaction& transaction) override {
    ++requests;
    return store_.commit(transaction);
  }
  std::unique_ptr<store::Watch> watch(const std::string& prefix,
                                      store::ChangeHandler on_change) override {
    return store_.watch(prefix, std::move(on_change));
  }
  std::unique_ptr<store::Presence> announce(
      const std::string& key, const std::string& value, std::chrono::seconds ttl,
      const std::vector<store::Condition>& conditions) override {
    return store_.announce(key, value, ttl, conditions);
  }
  std::string kind() const override { return store_.kind(); }

  std::atomic<int> requests = 0;  // watches ask from threads of their own

 private:
  store::Store& store_;
};

}  // namespace plexvol::support
