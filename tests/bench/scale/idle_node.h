// A node without disks: its tools and its pool answer as those of a healthy node on which nothing
// happens.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "agent/process/runner.h"
#include "agent/reconcile/pools.h"
#include "tests/bench/scale/landscape.h"

namespace plexvol::scale {

// Which of a node's volumes its agent has looked for.
class Looks {
 public:
  void note(const std::string& volume);
  std::size_t volumes() const;

 private:
  mutable std::mutex mutex_;
  std::set<std::string> seen_;
};

// Knows `drbdsetup events2 --now` only: an idle agent that runs anything else is not idle.
class IdleRunner : public process::Runner {
 public:
  explicit IdleRunner(const std::vector<model::Volume>& volumes);
  process::Output run(const process::Command& command) override;

 private:
  std::string events_;
};

// Has every logical volume that is asked for. Not by lvs and its report: reading that costs each
// node its own processor, of which a thousand nodes have more than this machine.
class IdlePool : public reconcile::Pool {
 public:
  explicit IdlePool(Looks& looks) : looks_(looks) {}

  std::map<std::string, reconcile::Backing> find(const std::vector<std::string>& names,
                                                 const std::string& volume_id) override;
  std::optional<std::map<std::string, reconcile::Backing>> recall(
      const std::vector<std::string>& names, const std::string& volume_id) override;
  std::optional<reconcile::Backing> known(const std::string& name) const override;
  reconcile::Backing create(const std::string& name, std::uint64_t size_bytes,
                            const std::string& volume_id) override;
  void finish(const std::vector<std::string>& names, const std::string& volume_id) override;
  void activate(const std::string& name) override;
  void remove(const std::vector<std::string>& names) override;
  void remove_remains(const std::string& name) override;
  void measure(model::Pool& pool) override;
  bool absence_is_certain() const override { return true; }
  std::vector<reconcile::Owned> list_owned() override { return {}; }

 private:
  Looks& looks_;
};

// What DRBD reads from files, below `directory`: a loaded module, and the configuration of each
// mirrored volume.
drbd::Settings write_drbd_files(const std::string& directory, const std::string& node,
                                const std::vector<model::Volume>& volumes);

}  // namespace plexvol::scale
