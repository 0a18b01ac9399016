// What the use cases know of this node, and what they ask of its other parts.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "agent/model/model.h"

namespace plexvol::volumes {

struct Settings {
  std::string here;
  std::string session;
  std::string version;
  std::uint16_t first_port = 7000;
  // A holder that is cut off from the copy where the volume is wanted may take so long to answer.
  std::chrono::milliseconds silence{2'000};
  // Throws InvalidArgument when mkfs would not take the words for a volume of this size. May be
  // empty: then only their form is checked.
  std::function<void(const std::string& fs_type, const std::string& mkfs_options,
                     std::uint64_t size_bytes)>
      try_mkfs = {};
  // Whether DRBD's resource of the volume's name is the volume's, as far as this can be told while
  // the kernel waits for an answer.
  std::function<bool(const model::Volume&)> owns_resource = [](const model::Volume&) {
    return true;
  };
  // Called before a caller is told what to mount there.
  std::function<void(const std::string& target)> target_named = [](const std::string&) {};
  // Called when somebody says that mounts have changed; must not block.
  std::function<void()> mounts_changed = [] {};
};

}  // namespace plexvol::volumes
