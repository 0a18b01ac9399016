#include "agent/kube/election.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "agent/api/call_deadline.h"
#include "agent/api/error.h"
#include "agent/base/deadline.h"
#include "agent/base/pause.h"
#include "agent/kube/backoff.h"
#include "agent/kube/lock.h"
#include "agent/log.h"

namespace plexvol::kube {

namespace {

using base::Clock;
using std::chrono::milliseconds;

// What this process has seen of the lock, and since when by its own clock.
class Observed {
 public:
  explicit Observed(milliseconds own_duration) : own_duration_(own_duration) {}

  void see(const Lock::Seen& seen) {
    if (text_ && *text_ == seen.record_text) return;
    text_ = seen.record_text;
    free_at_ = Clock::now() + std::max<milliseconds>(seen.record.duration, own_duration_);
  }
  bool has_expired() const { return Clock::now() >= free_at_; }

 private:
  const milliseconds own_duration_;
  std::optional<std::string> text_;
  base::Deadline free_at_;
};

// `lead`, on its thread.
class Leading {
 public:
  explicit Leading(const std::function<void(std::stop_token)>& lead)
      : thread_([this, &lead](std::stop_token stop) { run(lead, std::move(stop)); }) {}

  void stop() { thread_.request_stop(); }
  // True: it has ended by then.
  bool await_end(base::Deadline deadline, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    return ended_condition_.wait_until(lock, stop, deadline, [this] { return has_ended_; });
  }
  // Waits for its end, and throws what it threw.
  void finish() {
    thread_.request_stop();
    thread_.join();
    if (error_ != nullptr) std::rethrow_exception(error_);
  }

 private:
  void run(const std::function<void(std::stop_token)>& lead, std::stop_token stop) {
    try {
      lead(std::move(stop));
    } catch (...) {
      error_ = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    has_ended_ = true;
    ended_condition_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable_any ended_condition_;
  bool has_ended_ = false;
  std::exception_ptr error_;
  std::jthread thread_;  // last: it uses the others
};

class Candidate {
 public:
  Candidate(Client& client, const ElectionSettings& settings)
      : settings_(settings),
        lock_(client, settings.ns, settings.name),
        observed_(settings.duration) {}

  bool may_lead() const { return !settings_.may_lead || settings_.may_lead(); }
  base::Deadline held_until() const { return renewed_at_ + settings_.renew; }

  // True: this process holds it.
  bool try_acquire() {
    const api::CallDeadline limit(Clock::now() + settings_.renew);
    try {
      return acquire();
    } catch (const Error& error) {
      tell("cannot acquire the leader's lock; retrying", error);
      return false;
    }
  }

  enum class Renewal { Done, Failed, Lost };
  Renewal renew() {
    const api::CallDeadline limit(held_until());
    try {
      const std::optional<Lock::Seen> seen = lock_.read();
      // Somebody else may have had it since it was removed.
      if (!seen || seen->record.holder != settings_.identity) return Renewal::Lost;
      LockRecord record = seen->record;
      record.renewed_at = lock_.now();
      record.duration = duration();
      write(seen, record);
    } catch (const Error& error) {
      tell("cannot renew the leader's lock; retrying", error);
      return Renewal::Failed;
    }
    return Renewal::Done;
  }

  void release() {
    const api::CallDeadline limit(Clock::now() + settings_.retry);
    try {
      const std::optional<Lock::Seen> seen = lock_.read();
      if (!seen || seen->record.holder != settings_.identity) return;
      LockRecord record = seen->record;
      record.holder = "";
      record.renewed_at = lock_.now();
      record.duration = std::chrono::seconds(1);  // as client-go: none would be no valid Lease
      lock_.replace(*seen, record);
    } catch (const Error& error) {
      tell("cannot release the leader's lock", error);
    }
  }

 private:
  bool acquire() {
    const std::optional<Lock::Seen> seen = lock_.read();
    LockRecord record;
    record.holder = settings_.identity;
    record.duration = duration();
    record.renewed_at = lock_.now();
    record.acquired_at = record.renewed_at;
    if (!seen) {
      write(seen, record);
      return true;
    }
    observed_.see(*seen);
    const LockRecord& before = seen->record;
    const bool is_own = before.holder == settings_.identity;
    if (!is_own && !before.holder.empty() && !observed_.has_expired()) return false;
    record.transitions = before.transitions + (is_own ? 0 : 1);
    if (is_own && !before.acquired_at.empty()) record.acquired_at = before.acquired_at;
    write(seen, record);
    return true;
  }

  // Others count from when they see it, which is after this began. Not from before what was read: a
  // server that answers slowly would use up the time that the lock is held for.
  void write(const std::optional<Lock::Seen>& seen, const LockRecord& record) {
    const base::Deadline began = Clock::now();
    if (seen) {
      lock_.replace(*seen, record);
    } else {
      lock_.create(record);
    }
    renewed_at_ = began;
  }

  std::chrono::seconds duration() const {
    return std::max(std::chrono::seconds(1),
                    std::chrono::ceil<std::chrono::seconds>(settings_.duration));
  }

  void tell(const char* what, const Error& error) const {
    // Another candidate was quicker.
    if (error.code() == ErrorCode::Conflict || error.code() == ErrorCode::AlreadyExists) return;
    log::warn(what, {{"lock", settings_.ns + '/' + settings_.name}, {"error", error.what()}});
  }

  const ElectionSettings& settings_;
  Lock lock_;
  Observed observed_;
  base::Deadline renewed_at_;  // when the last write that succeeded began
};

// Renews until the lock is lost, given up or stopped, or `lead` has ended. False: lost.
bool keep(Candidate& candidate, Leading& leading, const ElectionSettings& settings,
          const std::stop_token& stop) {
  const CallStop call_stop(stop);
  base::Deadline next = Clock::now() + settings.retry;
  while (true) {
    const base::Deadline wake = std::min(next, candidate.held_until());
    if (leading.await_end(wake, stop) || stop.stop_requested()) return true;
    if (Clock::now() >= candidate.held_until()) return false;
    if (!candidate.may_lead()) return true;
    if (candidate.renew() == Candidate::Renewal::Lost) return false;
    next = Clock::now() + settings.retry;
  }
}

// After `lead` was told to stop. False: lost meanwhile.
bool keep_until_ended(Candidate& candidate, Leading& leading, const ElectionSettings& settings) {
  const base::Deadline limit = Clock::now() + settings.duration;
  while (!leading.await_end(Clock::now() + settings.retry, {})) {
    if (Clock::now() >= limit || candidate.renew() == Candidate::Renewal::Lost) return false;
  }
  return true;
}

}  // namespace

Election::Election(Client& client, ElectionSettings settings)
    : client_(client), settings_(std::move(settings)) {}

bool Election::run_once(const std::function<void(std::stop_token)>& lead,
                        const std::stop_token& stop) {
  Candidate candidate(client_, settings_);
  Backoff retry(settings_.retry, settings_.retry);
  while (true) {
    if (stop.stop_requested()) return true;
    const CallStop call_stop(stop);
    if (candidate.may_lead() && candidate.try_acquire()) break;
    base::pause(retry.next(), stop);
  }
  const log::Fields fields{{"lock", settings_.ns + '/' + settings_.name},
                           {"identity", settings_.identity}};
  log::info("became the leader", fields);
  leads_ = true;
  Leading leading(lead);
  bool is_held = keep(candidate, leading, settings_, stop);
  leads_ = false;
  leading.stop();
  log::info(is_held ? "giving up leadership" : "lost leadership", fields);
  is_held = is_held && keep_until_ended(candidate, leading, settings_);
  try {
    leading.finish();
  } catch (...) {
    if (is_held) candidate.release();
    throw;
  }
  if (is_held) candidate.release();
  return stop.stop_requested();
}

}  // namespace plexvol::kube
