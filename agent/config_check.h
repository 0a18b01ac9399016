// The part of the configuration that is not reading: defaults that depend on the machine, and what
// values may be.
#pragma once

#include <stdexcept>
#include <string>

#include "agent/config.h"

namespace plexvol {

class BadValue : public std::runtime_error {
 public:
  BadValue(std::string key, const std::string& what)
      : std::runtime_error(what), key_(std::move(key)) {}
  const std::string& key() const { return key_; }  // "store.kind"

 private:
  std::string key_;
};

// Host name, address, and the folders below the state directory, where they are empty.
// The address that this machine would be seen from; "" while it has no default route.
std::string default_route_address();

void fill_in(Config& config);
// Throws BadValue for the first that cannot be worked with.
void check(const Config& config);

}  // namespace plexvol
