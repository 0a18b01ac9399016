#include "agent/reconcile/jobs.h"

#include <fmt/core.h>

#include <ctime>
#include <exception>
#include <utility>

#include "agent/api/text.h"
#include "agent/log.h"
#include "agent/process/trace_log.h"

namespace plexvol::reconcile {

Jobs::Jobs(std::function<void(const std::string&)> ended, std::chrono::milliseconds patience)
    : ended_(std::move(ended)), patience_(patience) {}

Jobs::~Jobs() {
  for (auto& [volume, job] : jobs_) {
    if (const auto running = find_running(volume))
      log::info(fmt::format("volume {}: {}; waiting for it to end", volume, *running));
    job->thread.join();
  }
}

void Jobs::run(const std::string& volume, const std::string& what, Load load,
               std::function<void()> work) {
  drop_ended(volume, what);
  std::unique_lock lock(mutex_);
  const auto found = jobs_.find(volume);
  Job& job = found == jobs_.end() ? start(volume, what, load, std::move(work)) : *found->second;
  job.awaited = true;
  const bool ended =
      job.what == what && changed_.wait_for(lock, patience_, [&job] { return job.ended; });
  job.awaited = false;
  if (!ended) {
    throw Error(ErrorCode::Unavailable, fmt::format("volume {}: {}", volume, describe(job)));
  }
  const std::optional<Error> error = std::move(job.error);
  remove(volume);
  if (error) throw Error(*error);
}

void Jobs::remove(const std::string& volume) {
  const auto found = jobs_.find(volume);
  found->second->thread.join();
  jobs_.erase(found);
}

Jobs::Job& Jobs::start(const std::string& volume, const std::string& what, Load load,
                       std::function<void()> work) {
  auto made = std::make_unique<Job>();
  Job& job = *made;
  job.what = what;
  job.since = time_to_text(std::time(nullptr));
  job.waits = load == Load::Disk;
  job.thread = std::thread([this, volume, &job, work = std::move(work)] {
    const bool has_turn = job.waits && take_turn(job);
    work_on(volume, job, work);
    if (has_turn) turns_.release();
  });
  jobs_.emplace(volume, std::move(made));
  return job;
}

bool Jobs::take_turn(Job& job) {
  const bool taken = turns_.try_acquire_for(longest_wait_);
  const std::lock_guard lock(mutex_);
  job.waits = false;
  job.since = time_to_text(std::time(nullptr));
  return taken;
}

void Jobs::work_on(const std::string& volume, Job& job, const std::function<void()>& work) {
  std::optional<Error> error;
  {
    const log::LogScope scope("volume", volume);
    const process::TraceSubject subject(volume);
    try {
      work();
    } catch (const Error& failed) {
      error = failed;
    } catch (const std::exception& failed) {
      error = Error(ErrorCode::Internal, failed.what());
    }
  }
  const std::lock_guard lock(mutex_);
  job.error = std::move(error);
  job.ended = true;
  changed_.notify_all();
  if (!job.awaited) ended_(volume);
}

std::optional<std::string> Jobs::find_running(const std::string& volume) const {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(volume);
  if (found == jobs_.end() || found->second->ended) return std::nullopt;
  return describe(*found->second);
}

void Jobs::drop_ended(const std::string& volume, const std::string& wanted) {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(volume);
  if (found == jobs_.end() || !found->second->ended || found->second->what == wanted) return;
  remove(volume);
}

std::string Jobs::describe(const Job& job) {
  return fmt::format("{} {} since {}", job.what,
                     job.waits ? "has been waiting for those of other volumes" : "has been running",
                     job.since);
}

}  // namespace plexvol::reconcile
