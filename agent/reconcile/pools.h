// The three kinds of pool behind one face: the only place that knows which kind a volume lives in.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/model.h"
#include "agent/process/runner.h"
#include "agent/reconcile/plan.h"

namespace plexvol::reconcile {

struct PoolSettings {
  std::string name;
  std::string type;                   // lvm, lvm-thin, file
  std::string volume_group;           // lvm, lvm-thin
  std::string thin_pool;              // lvm-thin
  std::string directory;              // file
  unsigned max_promised_percent = 0;  // lvm-thin, file; 0: no limit
};

struct Owned {
  std::string name;  // a volume's, or that of its metadata
  std::string volume_id;
};

class Pool {
 public:
  virtual ~Pool() = default;
  // Those of the names that exist. `volume_id` is what makes one ours.
  virtual std::map<std::string, Backing> find(const std::vector<std::string>& names,
                                              const std::string& volume_id) = 0;
  // What find() does not answer does not exist, as far as this pool can tell.
  virtual bool absence_is_certain() const = 0;
  // What find() would answer, when the kernel says that all of them are those that it last
  // answered, and in use. nullopt: ask it.
  virtual std::optional<std::map<std::string, Backing>> recall(
      const std::vector<std::string>& names, const std::string& volume_id) = 0;
  // What find() would answer for one that the kernel has in use, where that needs no look.
  virtual std::optional<Backing> known(const std::string& name) const = 0;
  // Makes it with the tag `making`; active afterwards. Answers what find() would from then on.
  virtual Backing create(const std::string& name, std::uint64_t size_bytes,
                         const std::string& volume_id) = 0;
  // Of one that is active, while it is in use as well: larger ones stay as they are. OutOfSpace when
  // there is no room.
  virtual void grow(const std::string& name, std::uint64_t size_bytes) = 0;
  virtual void finish(const std::vector<std::string>& names, const std::string& volume_id) = 0;
  virtual void activate(const std::string& name) = 0;
  virtual void remove(const std::vector<std::string>& names) = 0;
  // What is left of one that was removed by somebody else.
  virtual void remove_remains(const std::string& name) = 0;
  // Total and free bytes, and what sizes are rounded up to; all of them are filled in also when it
  // throws Conflict: the group has lost a physical volume, so nothing can be made in it.
  virtual void measure(model::Pool& pool) = 0;
  // All that carries our tag, whether or not the store knows of it.
  virtual std::vector<Owned> list_owned() = 0;
};

std::unique_ptr<Pool> make_pool(const PoolSettings& settings, process::Runner& runner);

}  // namespace plexvol::reconcile
