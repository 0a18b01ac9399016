#pragma once

#include <functional>
#include <memory>

namespace plexvol::filesystem {

// Calls the handler, from a thread of its own, whenever a mount appears or goes in process 1's
// mount namespace (poll(2) on mountinfo, proc(5)). A hint to look.
class MountWatch {
 public:
  explicit MountWatch(std::function<void()> on_change);
  ~MountWatch();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace plexvol::filesystem
