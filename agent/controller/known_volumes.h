// The volumes as the agent last told of them.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/base/deadline.h"

namespace plexvol::controller {

// May be used from any thread.
class KnownVolumes {
 public:
  using ByName = std::map<std::string, api::VolumeInfo>;

  // `on_change` is called, without a lock held, whenever something may have changed.
  explicit KnownVolumes(std::function<void()> on_change) : on_change_(std::move(on_change)) {}

  // All that there are, asked for at `since`: what was learned of one volume after that stays.
  void replace(std::vector<api::VolumeInfo> volumes, base::Clock::time_point since);
  // Of one volume, now.
  void learn(const api::VolumeInfo& volume);
  std::optional<api::VolumeInfo> find(const std::string& name) const;
  // Empty until is_listed().
  ByName all() const;
  // The whole list has come at least once.
  bool is_listed() const;

 private:
  struct Known {
    api::VolumeInfo volume;
    base::Clock::time_point since;
  };

  const std::function<void()> on_change_;
  mutable std::mutex mutex_;
  std::map<std::string, Known> volumes_;
  bool listed_ = false;
};

}  // namespace plexvol::controller
