#include "agent/volumes/await.h"

#include <algorithm>

#include "agent/api/error.h"

namespace plexvol::volumes {

using std::chrono::steady_clock;

Awaiter::Awaiter(store::Store& store, const std::vector<std::string>& prefixes) {
  for (const std::string& prefix : prefixes) {
    watches_.push_back(store.watch(prefix, [signal = signal_](const std::string&) {
      const std::lock_guard lock(signal->mutex);
      ++signal->changes;
      signal->changed.notify_all();
    }));
  }
}

unsigned long Awaiter::changes() const {
  const std::lock_guard lock(signal_->mutex);
  return signal_->changes;
}

void Awaiter::wait(const Call& call, unsigned long seen, const std::function<std::string()>& what) {
  const auto now = steady_clock::now();
  if (now >= call.deadline) throw Error(ErrorCode::Unavailable, "timed out " + what());
  if (call.stop.stop_requested()) {
    throw Error(ErrorCode::Unavailable,
                "cancelled (caller disconnected or agent shutting down) while " + what());
  }
  auto until = std::min(call.deadline, now + kRareLook);
  if (due_) until = std::min(until, *due_);
  std::unique_lock lock(signal_->mutex);
  signal_->changed.wait_until(lock, call.stop, until, [&] { return signal_->changes != seen; });
  if (due_ && steady_clock::now() >= *due_) due_.reset();
}

}  // namespace plexvol::volumes
