#include "agent/kube/events.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "agent/api/call_deadline.h"
#include "agent/api/error.h"
#include "agent/api/random.h"
#include "agent/api/text.h"
#include "agent/base/deadline.h"
#include "agent/base/pause.h"
#include "agent/kube/backoff.h"
#include "agent/kube/event_queue.h"
#include "agent/kube/json.h"
#include "agent/log.h"

namespace plexvol::kube {

namespace {

using base::Clock;

constexpr std::size_t kMostMessageBytes = 1024;
constexpr std::size_t kMostReasonBytes = 128;
constexpr std::size_t kMostNameBytes = 253;
constexpr std::size_t kHexDigits = 16;
constexpr std::chrono::milliseconds kFirstRetry{1'000};
constexpr std::chrono::milliseconds kLongestRetry{30'000};
constexpr std::chrono::seconds kLastWords{1};

std::int64_t seconds_since_1970() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string namespace_of(const Reference& about) {
  return about.ns.empty() ? "default" : about.ns;
}

std::string path_of(const Reference& about) {
  return fmt::format("/api/v1/namespaces/{}/events", namespace_of(about));
}

// One that no other event has.
std::string make_name(const Reference& about) {
  std::string name = about.name.substr(0, kMostNameBytes - kHexDigits - 1);
  while (name.ends_with('.') || name.ends_with('-')) name.pop_back();
  return name + '.' + random_hex(kHexDigits);
}

// In one line of at most so many bytes.
std::string cut(const std::string& text, std::size_t most) {
  constexpr std::size_t kDots = 3;
  return one_line(text, text.size() <= most ? most : most - kDots);
}

}  // namespace

struct Events::Parts {
  Client& client;
  const std::string component;
  const std::string host;

  std::mutex mutex;
  std::condition_variable_any changed;
  EventQueue queue;
  std::jthread thread{};

  void run(const std::stop_token& stop);
  void send_last();
  bool has_sendable() const;
  // False: the server does not answer; the event waits again.
  bool send(EventQueue::Waiting waiting);
  bool try_count(const EventQueue::Waiting& waiting, const EventQueue::Sent& before);
  void create(EventQueue::Waiting& waiting, int count_before);
};

void Events::Parts::run(const std::stop_token& stop) {
  Backoff backoff(kFirstRetry, kLongestRetry);
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    queue.drop_old(Clock::now());
    std::optional<EventQueue::Waiting> waiting = queue.take(Clock::now());
    if (waiting) {
      lock.unlock();
      const CallStop call_stop(stop);
      if (send(std::move(*waiting))) {
        backoff.reset();
      } else {
        base::pause(backoff.next(), stop);
      }
      lock.lock();
      continue;
    }
    const std::optional<EventQueue::Time> next = queue.next(Clock::now());
    if (next) {
      changed.wait_until(lock, stop, *next, [this] { return has_sendable(); });
    } else {
      changed.wait(lock, stop, [this] { return !queue.is_empty(); });
    }
  }
  lock.unlock();
  send_last();
}

bool Events::Parts::has_sendable() const {
  const base::Deadline now = Clock::now();
  const std::optional<EventQueue::Time> next = queue.next(now);
  return next && *next <= now;
}

void Events::Parts::send_last() {
  const base::Deadline limit = Clock::now() + kLastWords;
  const api::CallDeadline deadline(limit);
  while (Clock::now() < limit) {
    std::unique_lock lock(mutex);
    std::optional<EventQueue::Waiting> waiting = queue.take(Clock::now());
    lock.unlock();
    if (!waiting || !send(std::move(*waiting))) return;
  }
}

bool Events::Parts::send(EventQueue::Waiting waiting) {
  std::unique_lock lock(mutex);
  const std::optional<EventQueue::Sent> before = queue.recall(waiting.text);
  lock.unlock();
  try {
    if (!before || !try_count(waiting, *before)) create(waiting, before ? before->count : 0);
    return true;
  } catch (const Error& error) {
    const Reference& about = waiting.text.about;
    if (error.code() == ErrorCode::Unavailable) {
      lock.lock();
      queue.put_back(std::move(waiting));
      return false;
    }
    log::warn("cannot tell an event to the API server",
              {{"object", fmt::format("{} {}/{}", about.kind, about.ns, about.name)},
               {"reason", waiting.text.reason},
               {"error", error.what()}});
    return true;
  }
}

// False: the server has forgotten the event, as it does after an hour.
bool Events::Parts::try_count(const EventQueue::Waiting& waiting, const EventQueue::Sent& before) {
  const int count = before.count + waiting.count;
  const JsonValue change = {{"count", count}, {"lastTimestamp", time_to_text(waiting.last_at)}};
  try {
    client.patch(path_of(waiting.text.about) + '/' + before.name, PatchKind::Merge, dump(change));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::NotFound) return false;
    throw;
  }
  const std::lock_guard lock(mutex);
  queue.remember(waiting.text, {before.name, count});
  return true;
}

void Events::Parts::create(EventQueue::Waiting& waiting, int count_before) {
  const EventText& text = waiting.text;
  if (waiting.name.empty()) waiting.name = make_name(text.about);
  const int count = count_before + waiting.count;
  const JsonValue event = {
      {"apiVersion", "v1"},
      {"kind", "Event"},
      {"metadata", {{"name", waiting.name}, {"namespace", namespace_of(text.about)}}},
      {"involvedObject",
       {{"apiVersion", text.about.api_version},
        {"kind", text.about.kind},
        {"namespace", text.about.ns},
        {"name", text.about.name},
        {"uid", text.about.uid},
        {"resourceVersion", text.about.resource_version}}},
      {"type", text.type == EventType::Warning ? "Warning" : "Normal"},
      {"reason", text.reason},
      {"message", text.message},
      {"count", count},
      {"firstTimestamp", time_to_text(waiting.first_at)},
      {"lastTimestamp", time_to_text(waiting.last_at)},
      {"source", {{"component", component}, {"host", host}}},
      {"reportingComponent", component},
      {"reportingInstance", host},
  };
  try {
    client.create(path_of(text.about), dump(event));
  } catch (const Error& error) {
    // An attempt before had no answer, but came through.
    if (error.code() != ErrorCode::AlreadyExists) throw;
  }
  const std::lock_guard lock(mutex);
  queue.remember(text, {waiting.name, count});
}

Events::Events(Client& client, std::string component, std::string host)
    : parts_(new Parts{.client = client,
                       .component = std::move(component),
                       .host = std::move(host),
                       .mutex = {},
                       .changed = {},
                       .queue = {}}) {
  parts_->thread =
      std::jthread([parts = parts_.get()](const std::stop_token& stop) { parts->run(stop); });
}

Events::~Events() = default;

void Events::tell(const Reference& about, EventType type, const std::string& reason,
                  const std::string& message) {
  EventText text{about, type, cut(reason, kMostReasonBytes), cut(message, kMostMessageBytes)};
  std::unique_lock lock(parts_->mutex);
  const bool is_kept = parts_->queue.add(std::move(text), Clock::now(), seconds_since_1970());
  lock.unlock();
  parts_->changed.notify_all();
  if (!is_kept) {
    log::warn("dropped an event: too many wait for the API server", {{"reason", reason}});
  }
}

}  // namespace plexvol::kube
