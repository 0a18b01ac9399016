// One agent for each node: the one that holds the lock of the state directory.
#pragma once

#include <string>

#include "agent/base/descriptor.h"

namespace plexvol {

class NodeLock {
 public:
  // Makes the directory (0700) when it is missing. Throws Error(Conflict), naming the process, when
  // another agent has it and keeps it for 2 s, Error(Internal) when the system refuses. Held until
  // the object's end, or the process's, however that ends.
  explicit NodeLock(const std::string& state_directory);

 private:
  base::Descriptor directory_;
};

}  // namespace plexvol
