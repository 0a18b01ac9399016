#include "agent/kube/cache.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "agent/api/error.h"
#include "agent/base/pause.h"
#include "agent/kube/backoff.h"
#include "agent/kube/custom_object.h"
#include "agent/kube/json.h"
#include "agent/log.h"

namespace plexvol::kube {

namespace {

constexpr std::chrono::milliseconds kFirstPause{500};
constexpr std::chrono::milliseconds kLongestPause{30'000};
// A server that ends each watch at once must not be asked in a loop.
constexpr std::chrono::seconds kShortWatch{1};

// Lists and watches until it is stopped.
class Follower {
 public:
  Follower(Client& client, const std::string& path, const ListWatch::Listener& listener,
           std::chrono::seconds relist)
      : client_(client), path_(path), listener_(listener), relist_(relist) {}

  void run(const std::stop_token& stop) {
    const CallStop call_stop(stop);
    while (!stop.stop_requested()) {
      if (follow(stop)) {
        backoff_.reset();
      } else {
        base::pause(backoff_.next(), stop);
      }
    }
  }

 private:
  // False: it did not work, or not for long.
  bool follow(const std::stop_token& stop) {
    try {
      if (revision_.empty() || base::Clock::now() >= relist_at_) list();
      return watch(stop);
    } catch (const Error& error) {
      // From where a connection broke one can go on. What could not be understood is asked for
      // again as a whole.
      if (error.code() != ErrorCode::Unavailable) revision_.clear();
      tell(error, stop);
    } catch (const std::exception& error) {
      revision_.clear();
      tell(error, stop);
    }
    return false;
  }

  void list() {
    revision_.clear();
    const base::Deadline at = base::Clock::now() + relist_;
    Listed listed = client_.list(path_);
    told_.clear();
    listener_.replace_all(std::move(listed.objects));
    revision_ = listed.resource_version;
    relist_at_ = at;
  }

  bool watch(const std::stop_token& stop) {
    const base::Deadline began = base::Clock::now();
    const auto left = std::chrono::ceil<std::chrono::seconds>(relist_at_ - began);
    const bool is_current = client_.watch(
        path_, revision_, [this](const WatchEvent& event) { hear(event); }, stop, left);
    if (!is_current) revision_.clear();
    return base::Clock::now() - began >= kShortWatch;
  }

  void hear(const WatchEvent& event) {
    backoff_.reset();
    if (event.kind != WatchEvent::Kind::Bookmark) listener_.apply(event);
    if (!event.resource_version.empty()) revision_ = event.resource_version;
  }

  // Once for each trouble: custom resources may be missing for as long as the process lives.
  void tell(const std::exception& error, const std::stop_token& stop) {
    if (stop.stop_requested() || error.what() == told_) return;
    told_ = error.what();
    log::warn("cannot follow objects of the API server; retrying",
              {{"path", path_}, {"error", error.what()}});
  }

  Client& client_;
  const std::string& path_;
  const ListWatch::Listener& listener_;
  const std::chrono::seconds relist_;
  std::string revision_;  // "": list first
  base::Deadline relist_at_;
  std::string told_;  // the trouble that the log has
  Backoff backoff_{kFirstPause, kLongestPause};
};

template <class T>
std::shared_ptr<const T> decode(const std::string& text) {
  try {
    return std::make_shared<const T>(from_json<T>(text));
  } catch (const Error& error) {
    // One broken object must not hide the others.
    log::warn("left out an object of the API server", {{"error", error.what()}});
    return nullptr;
  }
}

// Of an object that may be broken elsewhere; "" when it has no name.
std::string key_of(const std::string& text) {
  const JsonValue json = JsonValue::parse(text, nullptr, false);
  const auto found = json.is_object() ? json.find("metadata") : json.end();
  if (!json.is_object() || found == json.end()) return "";
  Meta meta;
  meta.ns = text_or_empty(*found, "namespace");
  meta.name = text_or_empty(*found, "name");
  return meta.key();
}

}  // namespace

ListWatch::ListWatch(Client& client, std::string path, Listener listener,
                     std::chrono::seconds relist)
    : client_(client),
      path_(std::move(path)),
      listener_(std::move(listener)),
      relist_(relist),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

ListWatch::~ListWatch() = default;

void ListWatch::run(const std::stop_token& stop) {
  Follower(client_, path_, listener_, relist_).run(stop);
}

template <class T>
Cache<T>::Cache(Client& client, std::string path, OnChange on_change)
    : on_change_(std::move(on_change)),
      list_watch_(client, std::move(path),
                  {.replace_all = [this](auto objects) { replace_all(objects); },
                   .apply = [this](const WatchEvent& event) { apply(event); }}) {}

template <class T>
typename Cache<T>::Object Cache<T>::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : found->second;
}

template <class T>
std::vector<typename Cache<T>::Object> Cache<T>::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<Object> objects;
  objects.reserve(objects_.size());
  for (const auto& [key, object] : objects_) objects.push_back(object);
  return objects;
}

template <class T>
bool Cache<T>::await_listed(base::Deadline deadline, const std::stop_token& stop) const {
  std::unique_lock lock(mutex_);
  return listed_condition_.wait_until(lock, stop, deadline, [this] { return listed_; });
}

template <class T>
bool Cache<T>::is_listed() const {
  const std::lock_guard lock(mutex_);
  return listed_;
}

template <class T>
void Cache<T>::replace_all(const std::vector<std::string>& objects) {
  std::map<std::string, Object> fresh;
  std::set<std::string> keys;
  for (const std::string& text : objects) {
    Object object = decode<T>(text);
    if (object == nullptr) continue;
    keys.insert(object->meta.key());
    fresh[object->meta.key()] = std::move(object);
  }
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, object] : objects_) keys.insert(key);
    objects_ = std::move(fresh);
    listed_ = true;
  }
  listed_condition_.notify_all();
  if (!on_change_) return;
  for (const std::string& key : keys) on_change_(key);
}

template <class T>
void Cache<T>::apply(const WatchEvent& event) {
  Object object = event.kind == WatchEvent::Kind::Deleted ? nullptr : decode<T>(event.object);
  const std::string key = object != nullptr ? object->meta.key() : key_of(event.object);
  if (key.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    if (object != nullptr) {
      objects_[key] = std::move(object);
    } else {
      objects_.erase(key);
    }
  }
  if (on_change_) on_change_(key);
}

template class Cache<Claim>;
template class Cache<StorageClass>;
template class Cache<PersistentVolume>;
template class Cache<Node>;
template class Cache<Pod>;
template class Cache<CustomObject>;

}  // namespace plexvol::kube
