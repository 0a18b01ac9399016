#include "agent/controller/known_volumes.h"

#include <utility>

namespace plexvol::controller {

void KnownVolumes::replace(std::vector<api::VolumeInfo> volumes, base::Clock::time_point since) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(volumes_, [&](const auto& known) { return known.second.since < since; });
    for (api::VolumeInfo& volume : volumes) {
      std::string name = volume.name;
      volumes_.try_emplace(std::move(name), Known{.volume = std::move(volume), .since = since});
    }
    listed_ = true;
  }
  on_change_();
}

void KnownVolumes::learn(const api::VolumeInfo& volume) {
  {
    const std::lock_guard lock(mutex_);
    volumes_[volume.name] = {.volume = volume, .since = base::Clock::now()};
  }
  on_change_();
}

std::optional<api::VolumeInfo> KnownVolumes::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = volumes_.find(name);
  return found == volumes_.end() ? std::nullopt : std::optional(found->second.volume);
}

KnownVolumes::ByName KnownVolumes::all() const {
  const std::lock_guard lock(mutex_);
  ByName all;
  for (const auto& [name, known] : volumes_) all.emplace(name, known.volume);
  return all;
}

bool KnownVolumes::is_listed() const {
  const std::lock_guard lock(mutex_);
  return listed_;
}

}  // namespace plexvol::controller
