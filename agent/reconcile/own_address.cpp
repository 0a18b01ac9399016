#include "agent/reconcile/own_address.h"

#include <fmt/core.h>

#include <utility>

#include "agent/log.h"

namespace plexvol::reconcile {

OwnAddress::OwnAddress(std::string configured, std::function<std::string()> find)
    : is_configured_(!configured.empty()),
      find_(std::move(find)),
      address_(std::move(configured)) {}

std::string OwnAddress::look() {
  const std::lock_guard lock(mutex_);
  if (is_configured_) return address_;
  const std::string found = find_();
  if (found.empty()) return address_;
  if (address_.empty()) {
    log::info("this node's address for replication is " + found);
    address_ = found;
  }
  const std::string changed = found == address_ ? "" : found;
  if (changed != changed_to_ && !changed.empty()) {
    log::warn(
        fmt::format("the default route's address is now {}, but replication still uses {}: restart "
                    "the agent to use the new one, or set `address`",
                    changed, address_));
  }
  changed_to_ = changed;
  return address_;
}

std::string OwnAddress::get() const {
  const std::lock_guard lock(mutex_);
  return address_;
}

std::string OwnAddress::changed_to() const {
  const std::lock_guard lock(mutex_);
  return changed_to_;
}

}  // namespace plexvol::reconcile
