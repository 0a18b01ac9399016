#include "agent/store/change_hub.h"

#include <condition_variable>
#include <set>
#include <thread>
#include <utility>

namespace plexvol::store {

struct ChangeHub::Watches {
  std::mutex mutex;
  std::set<HubWatch*> all;
};

class ChangeHub::HubWatch : public Watch {
 public:
  HubWatch(std::shared_ptr<Watches> watches, std::string prefix, ChangeHandler on_change)
      : watches_(std::move(watches)),
        prefix_(std::move(prefix)),
        on_change_(std::move(on_change)),
        thread_([this] { run(); }) {
    {
      const std::lock_guard lock(watches_->mutex);
      watches_->all.insert(this);
    }
    // Only now: whoever looks at this call must hear of everything that changes after it.
    tell(prefix_);
  }

  ~HubWatch() override {
    {
      const std::lock_guard lock(watches_->mutex);
      watches_->all.erase(this);
    }
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  HubWatch(const HubWatch&) = delete;
  HubWatch& operator=(const HubWatch&) = delete;

  void tell(const std::string& key) {
    if (!key.starts_with(prefix_)) return;
    {
      const std::lock_guard lock(mutex_);
      pending_.insert(key);
    }
    changed_.notify_all();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
      if (stopping_) return;
      const std::string key = take_next();
      lock.unlock();
      on_change_(key);
      lock.lock();
    }
  }

  // In turn, so that a key that changes all the time does not keep the ones behind it from being
  // told.
  std::string take_next() {
    auto next = pending_.upper_bound(last_told_);
    if (next == pending_.end()) next = pending_.begin();
    last_told_ = std::move(pending_.extract(next).value());
    return last_told_;
  }

  const std::shared_ptr<Watches> watches_;
  const std::string prefix_;
  const ChangeHandler on_change_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> pending_;
  std::string last_told_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all the others
};

ChangeHub::ChangeHub() : watches_(std::make_shared<Watches>()) {}

ChangeHub::~ChangeHub() = default;

std::unique_ptr<Watch> ChangeHub::add(const std::string& prefix, ChangeHandler on_change) {
  return std::make_unique<HubWatch>(watches_, prefix, std::move(on_change));
}

void ChangeHub::publish(const std::vector<std::string>& keys) {
  const std::lock_guard lock(watches_->mutex);
  for (HubWatch* watch : watches_->all) {
    for (const std::string& key : keys) watch->tell(key);
  }
}

}  // namespace plexvol::store
