#include "agent/reconcile/workers.h"

#include <chrono>
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

}  // namespace

class Workers::Impl {
 public:
  Impl(Reconciler& reconciler, Queue& queue, store::TypedStore& store, WorkerSettings settings)
      : reconciler_(reconciler), queue_(queue), store_(store), settings_(std::move(settings)) {
    for (unsigned i = 0; i < settings_.workers; ++i) {
      threads_.emplace_back([this] { work(); });
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
    while (const auto name = queue_.take()) {
      const Outcome outcome = look(*name);
      if (*name == kEverything && outcome == Outcome::Settled) {
        queue_.retry(*name, settings_.patrol, settings_.patrol);
        continue;
      }
      switch (outcome) {
        case Outcome::Settled:
          queue_.done(*name);
          break;
        case Outcome::TrySoon:
          queue_.retry(*name, milliseconds(250), seconds(4));
          break;
        case Outcome::TryLater:
          queue_.retry(*name, seconds(2), seconds(60));
          break;
      }
    }
  }

  Outcome look(const std::string& name) {
    try {
      if (name == kMounts) {
        for (const std::string& volume : reconciler_.list_changed_mounts()) queue_.add(volume);
        return Outcome::Settled;
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
        for (const std::string& volume : reconciler_.list_concerned()) queue_.add(volume);
        // Not by the queue: a resync that begins or ends makes all be looked at again while a node
        // is drained, and the patrol is no such event.
        reconciler_.take_turns();
        return Outcome::Settled;
      }
    } catch (const std::exception& error) {
      log::warn(error.what());
      return Outcome::TrySoon;
    }
    const log::LogScope scope("volume", name);
    const process::TraceSubject subject(name);
    return reconciler_.reconcile(name);
  }

  Reconciler& reconciler_;
  Queue& queue_;
  store::TypedStore& store_;
  WorkerSettings settings_;
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
