#include "agent/api/call_deadline.h"

#include <algorithm>

namespace plexvol::api {

namespace {

std::optional<CallDeadline::Clock::time_point>& in_force() {
  thread_local std::optional<CallDeadline::Clock::time_point> deadline;
  return deadline;
}

}  // namespace

CallDeadline::CallDeadline(Clock::time_point deadline) : before_(in_force()) {
  in_force() = before_ ? std::min(*before_, deadline) : deadline;
}

CallDeadline::~CallDeadline() {
  in_force() = before_;
}

CallDeadline::Clock::time_point CallDeadline::earliest(Clock::time_point deadline) {
  constexpr auto kLeast = std::chrono::milliseconds(500);
  const auto now = Clock::now();
  if (!in_force() || *in_force() <= now) return deadline;
  return std::min(std::max(*in_force(), now + kLeast), deadline);
}

}  // namespace plexvol::api
