// Which store this node has seen, and how far: so that a store that was restored from an old
// backup, and one that is another, is noticed.
//
// Kept in a file that may lag behind, and never says more than was seen. From any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

namespace plexvol::store {

class StoreSeen {
 public:
  struct Point {
    std::uint64_t cluster = 0;  // 0: none was seen
    std::int64_t revision = 0;
    // Counts accept(): what was asked for before it says nothing after it.
    unsigned generation = 0;
  };

  // A file that cannot be read counts as a store that was never seen, and is logged.
  explicit StoreSeen(std::string path);
  ~StoreSeen();
  StoreSeen(const StoreSeen&) = delete;
  StoreSeen& operator=(const StoreSeen&) = delete;

  // To be called before a request is sent whose answer is linearizable, and with its answer: that
  // has at least what was seen before it was asked for.
  Point last() const;
  void note(const Point& before, const Point& answer);
  // An answer of one member from what it alone knows: the store has come at least so far. It proves
  // nothing when it is older.
  void note_progress(const Point& before, const Point& answer);

  // Why the store that answers cannot be what came after; "": nothing speaks against it.
  std::string contradiction() const;
  // Everybody has been told of it (store/rolled-back): from now on the store that answers counts.
  void accept();

  // Writes what was seen since the last time. Throws nothing: it lags behind then.
  void save();

 private:
  const std::string path_;
  mutable std::mutex mutex_;
  Point last_;
  Point answered_;  // by a store that contradicts
  std::string contradiction_;
  std::mutex save_mutex_;
  Point saved_;
};

}  // namespace plexvol::store
