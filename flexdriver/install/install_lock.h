// Installers of one node take turns.
#pragma once

#include <optional>

#include "agent/base/descriptor.h"
#include "flexdriver/install/trusted_dir.h"

namespace plexvol::driver {

// A lock on a file that only root may open: any user could hold one on a directory that he may
// read, and stop all installers by it.
class InstallLock {
 public:
  // `root` is the host's /, and must outlive the lock. Throws Unavailable when another installer
  // keeps it for a minute.
  explicit InstallLock(const TrustedDir& root);
  InstallLock(const InstallLock&) = delete;
  InstallLock& operator=(const InstallLock&) = delete;
  ~InstallLock();

 private:
  bool try_take();

  const TrustedDir& root_;
  const bool made_run_;  // a staged tree, not a host: nothing of ours stays there
  std::optional<TrustedDir> folder_;
  base::Descriptor file_;
};

}  // namespace plexvol::driver
