#include "agent/store/file_store.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "agent/api/error.h"
#include "agent/store/change_hub.h"
#include "agent/store/file_log.h"
#include "agent/store/transaction_check.h"

namespace plexvol::store {

class FileStore::Core {
 public:
  explicit Core(const std::filesystem::path& directory)
      : log_(directory), contents_(log_.take_contents()) {
    // Those that an agent of 0.1.0 left in the file; they ended with it.
    std::erase_if(contents_.items, [](const auto& item) { return item.second.session; });
  }

  std::optional<Entry> get(const std::string& key) {
    const std::lock_guard lock(contents_mutex_);
    check_known();
    return find(key);
  }

  std::vector<std::optional<Entry>> get_all(const std::vector<std::string>& keys) {
    check_keys(keys);
    const std::lock_guard lock(contents_mutex_);
    check_known();
    std::vector<std::optional<Entry>> entries;
    entries.reserve(keys.size());
    for (const std::string& key : keys) entries.push_back(find(key));
    return entries;
  }

  std::vector<Entry> list(const std::string& prefix) {
    const std::lock_guard lock(contents_mutex_);
    check_known();
    std::vector<Entry> entries;
    for (auto at = contents_.items.lower_bound(prefix);
         at != contents_.items.end() && at->first.starts_with(prefix); ++at) {
      entries.push_back({at->first, at->second.value, at->second.revision});
    }
    return entries;
  }

  bool commit(const Transaction& transaction) {
    check_transaction(transaction);
    const std::lock_guard one_at_a_time(commit_mutex_);
    check_log();
    if (!hold(transaction.conditions)) return false;
    std::vector<ItemChange> changes;
    for (const Write& write : transaction.writes) {
      if (write.value) {
        changes.push_back({write.key, Item{*write.value, contents_.revision + 1, false}});
      } else if (contents_.items.contains(write.key)) {
        changes.push_back({write.key, std::nullopt});
      }
    }
    write(changes);
    return true;
  }

  // Returns the revision of the written key; nullopt when a condition does not hold. Such a key
  // ends with this process, so it is kept in memory alone, and a full disk is no hindrance.
  std::optional<std::int64_t> put_session(const std::string& key, const std::string& value,
                                          const std::vector<Condition>& conditions) {
    check_transaction({.conditions = conditions, .writes = {{key, value}}});
    const std::lock_guard one_at_a_time(commit_mutex_);
    check_log();
    if (!hold(conditions)) return std::nullopt;
    const std::int64_t revision = contents_.revision + 1;
    // The file has a record of this key when somebody else wrote it before.
    if (is_in_file(key)) append(revision, {{key, std::nullopt}});
    show(revision, {{key, Item{value, revision, true}}});
    return revision;
  }

  std::unique_ptr<Watch> watch(const std::string& prefix, ChangeHandler on_change) {
    return hub_.add(prefix, std::move(on_change));
  }

  std::string opening_note() const { return log_.opening_note(); }

 private:
  // Under contents_mutex_.
  std::optional<Entry> find(const std::string& key) const {
    const auto found = contents_.items.find(key);
    if (found == contents_.items.end()) return std::nullopt;
    return Entry{key, found->second.value, found->second.revision};
  }

  bool hold(const std::vector<Condition>& conditions) const {
    return std::ranges::all_of(conditions, [this](const Condition& condition) {
      const auto found = contents_.items.find(condition.key);
      const std::int64_t revision = found == contents_.items.end() ? 0 : found->second.revision;
      return revision == condition.revision;
    });
  }

  bool is_in_file(const std::string& key) const {
    const auto found = contents_.items.find(key);
    return found != contents_.items.end() && !found->second.session;
  }

  // Under commit_mutex_, which alone is enough to read contents_: nobody else changes it. Readers
  // are not held up by the disk, and see only what is on it.
  void write(const std::vector<ItemChange>& changes) {
    if (changes.empty()) return;
    const std::int64_t revision = contents_.revision + 1;
    std::vector<ItemChange> durable;
    for (const ItemChange& change : changes) {
      if (change.item || is_in_file(change.key)) durable.push_back(change);
    }
    if (!durable.empty()) append(revision, durable);
    show(revision, changes);
    log_.compact_if_large(contents_);
  }

  void show(std::int64_t revision, const std::vector<ItemChange>& changes) {
    {
      const std::lock_guard lock(contents_mutex_);
      contents_.apply(revision, changes);
    }
    std::vector<std::string> keys;
    keys.reserve(changes.size());
    for (const ItemChange& change : changes) keys.push_back(change.key);
    hub_.publish(keys);
  }

  void append(std::int64_t revision, const std::vector<ItemChange>& changes) {
    try {
      log_.append(revision, changes);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::Unavailable) become_unknown();
      throw;
    }
  }

  void check_log() {
    try {
      log_.check_usable();
    } catch (const Error&) {
      become_unknown();
      throw;
    }
  }

  void become_unknown() {
    const std::lock_guard lock(contents_mutex_);
    is_unknown_ = true;
  }

  // After a commit of which nobody knows whether it happened, neither answer would be the truth.
  void check_known() const {
    if (!is_unknown_) return;
    throw Error(
        ErrorCode::Unavailable,
        "store: a write to its file failed halfway, so its contents are unknown: restart the "
        "agent");
  }

  FileLog log_;
  ChangeHub hub_;
  std::mutex commit_mutex_;
  std::mutex contents_mutex_;  // taken after commit_mutex_
  Contents contents_;
  bool is_unknown_ = false;
};

class FileStore::KeyPresence : public Presence {
 public:
  KeyPresence(std::shared_ptr<Core> core, std::string key, std::int64_t revision)
      : core_(std::move(core)), key_(std::move(key)), revision_(revision) {}

  ~KeyPresence() override {
    try {
      // Not when it was written by somebody else since.
      core_->commit({.conditions = {{key_, revision_}}, .writes = {{key_, std::nullopt}}});
    } catch (const std::exception&) {
      // The next start removes it.
    }
  }

  KeyPresence(const KeyPresence&) = delete;
  KeyPresence& operator=(const KeyPresence&) = delete;

 private:
  const std::shared_ptr<Core> core_;
  const std::string key_;
  const std::int64_t revision_;
};

FileStore::FileStore(const std::filesystem::path& directory)
    : core_(std::make_shared<Core>(directory)) {}

FileStore::~FileStore() = default;

std::optional<Entry> FileStore::get(const std::string& key) {
  return core_->get(key);
}

std::vector<std::optional<Entry>> FileStore::get_all(const std::vector<std::string>& keys) {
  return core_->get_all(keys);
}

std::vector<Entry> FileStore::list(const std::string& prefix) {
  return core_->list(prefix);
}

bool FileStore::commit(const Transaction& transaction) {
  return core_->commit(transaction);
}

std::unique_ptr<Watch> FileStore::watch(const std::string& prefix, ChangeHandler on_change) {
  return core_->watch(prefix, std::move(on_change));
}

std::unique_ptr<Presence> FileStore::announce(const std::string& key, const std::string& value,
                                              std::chrono::seconds /*ttl*/,
                                              const std::vector<Condition>& conditions) {
  const auto revision = core_->put_session(key, value, conditions);
  if (!revision) throw Error(ErrorCode::Conflict, key + " now belongs to another session");
  return std::make_unique<KeyPresence>(core_, key, *revision);
}

std::string FileStore::opening_note() const {
  return core_->opening_note();
}

}  // namespace plexvol::store
