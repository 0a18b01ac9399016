// The store of a single node: a file under a directory, no other program needed. See file_format.h
// and file_log.h.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/store/store.h"

namespace plexvol::store {

// Watches and presences may outlive the store; the directory stays locked until the last of them is
// gone.
class FileStore : public Store {
 public:
  // Throws Error(Conflict) when another process has the directory, Error(Internal) when what it
  // holds is damaged: it is then left as it is.
  explicit FileStore(const std::filesystem::path& directory);
  ~FileStore() override;
  FileStore(const FileStore&) = delete;
  FileStore& operator=(const FileStore&) = delete;

  std::optional<Entry> get(const std::string& key) override;
  std::vector<std::optional<Entry>> get_all(const std::vector<std::string>& keys) override;
  std::vector<Entry> list(const std::string& prefix) override;
  // Durable when it returns. Also throws Error(OutOfSpace): nothing was written.
  bool commit(const Transaction& transaction) override;
  std::unique_ptr<Watch> watch(const std::string& prefix, ChangeHandler on_change) override;
  // `ttl` has no meaning here: the key goes with this object, or at the next start.
  std::unique_ptr<Presence> announce(const std::string& key, const std::string& value,
                                     std::chrono::seconds ttl,
                                     const std::vector<Condition>& conditions) override;
  std::string kind() const override { return "embedded"; }

  // Empty, or what a crash left behind and was dropped at the opening: for the log.
  std::string opening_note() const;

 private:
  class Core;
  class KeyPresence;
  std::shared_ptr<Core> core_;
};

}  // namespace plexvol::store
