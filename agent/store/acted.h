// What this node acted on of each volume, kept on its own disk: so a store that was restored from
// an old backup, or that is another one, is not believed.
//
// One file for each volume: <directory>/<volume id>, of two slots of a fixed size. Each write goes
// to the older slot and is synced, so a crash leaves the newer one, and neither a full disk nor a
// directory that cannot be changed keeps a known volume from being recorded.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/model.h"

namespace plexvol::store {

// For people, with what to do, when the store cannot be what came after `acted`; "" otherwise.
// `acted` must have been found before the store was read.
std::string describe_contradiction(const model::Acted& acted, const model::Volume& volume,
                                   const std::optional<model::Current>& current);
// Throws Error(Conflict) instead, and goes by the set alone: for those whose volume may have been
// read before what was acted on was found.
void require_no_contradiction(const model::Acted& acted, model::Volume volume,
                              const model::Current& current);

// From any thread. What cannot be read or written throws Error(Internal), naming the file; damage
// is never taken for "nothing was acted on".
class ActedSets {
 public:
  // Makes the directory (0700) with the first record.
  explicit ActedSets(std::string directory) : directory_(std::move(directory)) {}
  ActedSets(const ActedSets&) = delete;
  ActedSets& operator=(const ActedSets&) = delete;

  std::optional<model::Acted> find(const std::string& volume_id);
  // Whether record() would have nothing to write of the set and the file system, or at all.
  bool knows_set(const model::Volume& volume, const model::Current& current);
  bool knows_all(const model::Volume& volume, const model::Current& current);
  // On disk when it returns. Writes nothing that is known already, and nothing older: of a set that
  // contradicts what was acted on it throws Error(Conflict).
  void record(const model::Volume& volume, const model::Current& current);
  // The copy here is no more.
  void remove(const std::string& volume_id);
  // All of them; throws when one cannot be read.
  std::vector<model::Acted> list();

 private:
  struct File {
    std::mutex mutex;
    bool is_read = false;
    std::optional<model::Acted> acted;
    std::uint64_t sequence = 0;  // of the last write; its slot is the lowest bit
  };

  std::shared_ptr<File> file_of(const std::string& volume_id);
  std::string path_of(const std::string& volume_id) const;
  void read(const std::string& volume_id, File& file) const;
  void write(const std::string& volume_id, File& file, model::Acted next) const;

  const std::string directory_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<File>> files_;
};

}  // namespace plexvol::store
