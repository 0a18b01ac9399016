#include "agent/reconcile/mirroring.h"

#include <fmt/core.h>

#include <utility>

#include "agent/api/error.h"
#include "agent/log.h"

namespace plexvol::reconcile {

namespace {

constexpr const char* kNoAddress =
    "it has no address for replication: no default route, and `address` is not set";

}  // namespace

Mirroring::Mirroring(drbd::Drbd& drbd, MirroringSettings settings)
    : drbd_(drbd), settings_(std::move(settings)) {}

std::string Mirroring::keep() {
  if (settings_.address().empty()) return kNoAddress;
  // A kernel that had no module a moment ago is not asked for it by a process each time.
  if (!error_.empty() && drbd_.module_version().empty()) return error_;
  const std::string before = std::exchange(error_, look());
  looked_ = true;
  if (error_ == before) return error_;
  if (error_.empty()) {
    log::info("mirrored volumes are available on this node again");
  } else {
    log::warn("mirrored volumes are not available on this node: " + error_);
  }
  return error_;
}

std::string Mirroring::look() {
  try {
    drbd_.load_module();
    const std::string asked =
        drbd::take_usermode_helper(settings_.helper, settings_.helper_memory, settings_.module);
    // At the agent's start it is nothing strange.
    if (looked_ && asked != settings_.helper) {
      log::warn(
          fmt::format("DRBD's usermode_helper was {} and has been set to {} again: was the module "
                      "reloaded, or does another program set it?",
                      asked, settings_.helper));
    }
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace plexvol::reconcile
