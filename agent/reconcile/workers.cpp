#include "agent/reconcile/workers.h"

#include <atomic>
#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "agent/filesystem/mount_watch.h"
#include "agent/log.h"
#include "agent/process/trace_log.h"

namespace plexvol::reconcile {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Stands for all that is assigned here, as kMounts does for what was mounted or unmounted.
constexpr const char* kEverything = "/all";
constexpr const char* kCordons = "/cordons";

// Longer than any pass of a healthy node.
constexpr seconds kOverdue{1};
constexpr unsigned kReserve = 2;

}  // namespace

class Workers::Impl {
 public:
  Impl(Reconciler& reconciler, Queue& queue, store::TypedStore& store, WorkerSettings settings)
      : reconciler_(reconciler), queue_(queue), store_(store), settings_(std::move(settings)) {
    for (unsigned i = 0; i < settings_.workers; ++i) {
      threads_.emplace_back([this] { work(); });
    }
    for (unsigned i = 0; i < kReserve; ++i) {
      threads_.emplace_back([this] { arbitrate(); });
    }
    const std::string prefix = store::keys::assigned_prefix(settings_.here);
    store_watch_ = store_.raw().watch(prefix, [this, prefix](const std::string& key) {
      queue_.add(key.size() > prefix.size() ? key.substr(prefix.size()) : kEverything);
    });
    cordon_watch_ = store_.raw().watch(store::keys::cordon_prefix(),
                                       [this](const std::string&) { queue_.add(kCordons); });
    mount_watch_ = std::make_unique<filesystem::MountWatch>([this] { queue_.add(kMounts); });
    if (settings_.watch_drbd) {
      drbd_watch_ = std::make_unique<drbd::EventWatch>([this](const std::string& resource) {
        queue_.add(resource.empty() ? kEverything : resource);
      });
    }
  }

  ~Impl() {
    store_watch_.reset();
    cordon_watch_.reset();
    mount_watch_.reset();
    drbd_watch_.reset();
    queue_.stop();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void work() {
    while (const auto item = queue_.take()) give_back(item->name, look(*item));
  }

  // In reserve: when all workers are busy, with whatever, a freeze is still ended.
  void arbitrate() {
    while (const auto item = queue_.take_overdue(kOverdue)) {
      const bool is_volume = !item->name.starts_with('/');
      const Outcome outcome = is_volume ? arbitrate(item->name) : look(*item);
      if (is_volume && outcome == Outcome::Settled) {
        queue_.examined(*item);
      } else {
        give_back(item->name, outcome);
      }
    }
  }

  void give_back(const std::string& name, Outcome outcome) {
    if (name == kEverything && outcome == Outcome::Settled) {
      return queue_.retry(name, settings_.patrol, settings_.patrol);
    }
    switch (outcome) {
      case Outcome::Settled:
        return queue_.done(name);
      case Outcome::TrySoon:
        return queue_.retry(name, milliseconds(250), seconds(4));
      case Outcome::TryLater:
        return queue_.retry(name, seconds(2), seconds(60));
    }
  }

  Outcome arbitrate(const std::string& volume) {
    const log::LogScope scope("volume", volume);
    const process::TraceSubject subject(volume);
    return reconciler_.arbitrate(volume);
  }

  Outcome look(const Queue::Item& item) {
    const std::string& name = item.name;
    try {
      if (name == kMounts) {
        const auto changed = reconciler_.list_changed_mounts();
        for (const std::string& volume : changed) queue_.add(volume);
        if (!changed.empty() || watches_directories_) queue_.add(kDirectories);
        return Outcome::Settled;
      }
      if (name == kDirectories) {
        const mounting::Look found = settings_.look_at_directories();
        watches_directories_ = found != mounting::Look::Clear;
        return found == mounting::Look::Again ? Outcome::TrySoon : Outcome::Settled;
      }
      if (name == kResyncs) {
        reconciler_.take_turns();
        // The next copy may be moved when the one before is done.
        for (const std::string& volume : reconciler_.list_drained()) queue_.add(volume);
        return Outcome::Settled;
      }
      if (name == kCordons) {
        for (const std::string& volume : reconciler_.look_at_cordons()) queue_.add(volume);
        return Outcome::Settled;
      }
      if (name == kEverything) {
        reconciler_.look_at_cordons();
        patrol(reconciler_.list_concerned());
        // Not by the queue: a resync that begins or ends makes all be looked at again while a node
        // is drained, and the patrol is no such event.
        reconciler_.take_turns();
        queue_.add(kDirectories);
        return Outcome::Settled;
      }
    } catch (const std::exception& error) {
      log::warn(error.what());
      return Outcome::TrySoon;
    }
    const log::LogScope scope("volume", name);
    const process::TraceSubject subject(name);
    return reconciler_.reconcile(name, item.ahead.get());
  }

  void patrol(const std::set<std::string>& volumes) {
    std::vector<std::string> some;
    for (auto volume = volumes.begin(); volume != volumes.end();) {
      some.push_back(*volume++);
      if (volume != volumes.end() && some.size() < store::TypedStore::kMaxViews) continue;
      offer(queue_.claim(some));
      some.clear();
    }
  }

  void offer(const std::vector<std::string>& claimed) noexcept {
    std::map<std::string, store::VolumeView> views;
    try {
      views = store_.view_volumes(claimed, settings_.here);
    } catch (const std::exception& error) {
      log::info(error.what());  // each will say so itself
    }
    for (const std::string& volume : claimed) {
      const auto view = views.find(volume);
      queue_.offer(volume, view == views.end() ? nullptr
                                               : std::make_shared<const store::VolumeView>(
                                                     std::move(view->second)));
    }
  }

  Reconciler& reconciler_;
  Queue& queue_;
  store::TypedStore& store_;
  WorkerSettings settings_;
  std::atomic<bool> watches_directories_ = false;
  std::vector<std::thread> threads_;
  std::unique_ptr<store::Watch> store_watch_;
  std::unique_ptr<store::Watch> cordon_watch_;
  std::unique_ptr<filesystem::MountWatch> mount_watch_;
  std::unique_ptr<drbd::EventWatch> drbd_watch_;
};

Workers::Workers(Reconciler& reconciler, Queue& queue, store::TypedStore& store,
                 WorkerSettings settings)
    : impl_(std::make_unique<Impl>(reconciler, queue, store, std::move(settings))) {}

Workers::~Workers() = default;

}  // namespace plexvol::reconcile
