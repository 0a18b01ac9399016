#include "agent/store/etcd_presence.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "agent/api/error.h"

namespace plexvol::store {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kRevokeTimeout{2'000};

class EtcdPresence : public Presence {
 public:
  EtcdPresence(std::shared_ptr<EtcdClient> client, LeasedKey key, std::chrono::seconds ttl)
      : client_(std::move(client)), key_(std::move(key)), ttl_(ttl), delay_(interval()) {
    try {
      establish();
    } catch (const Error&) {
      revoke();
      throw;
    }
    thread_ = std::thread([this] { run(); });
  }

  ~EtcdPresence() override {
    stop_.cancel();
    thread_.join();
    revoke();
  }

  EtcdPresence(const EtcdPresence&) = delete;
  EtcdPresence& operator=(const EtcdPresence&) = delete;

 private:
  // Two may be lost before the time to live is over.
  milliseconds interval() const { return milliseconds(ttl_) / 3; }

  void run() {
    milliseconds wait = interval();
    while (!stop_.wait_for(wait)) {
      try {
        keep();
        delay_.reset();
        wait = interval();
      } catch (const Error&) {
        // Whoever asks the store for something hears of it; the node that is not seen any more is
        // the message here.
        wait = delay_.next();
      }
    }
  }

  void keep() {
    if (lease_ == 0 || !client_->keep_lease(lease_, stop_)) {
      lease_ = 0;
      is_written_ = false;
    }
    if (!is_written_) {
      establish();
    } else if (!client_->probably_exists(key_.key, stop_)) {
      // Somebody removed it. One that was replaced is left alone: two that do so would go on for
      // ever.
      LeasedKey absent = key_;
      absent.conditions.push_back({key_.key, 0});
      client_->put_with_lease(absent, lease_, stop_);
    }
  }

  void establish() {
    if (lease_ == 0) lease_ = client_->grant_lease(ttl_, stop_);
    // Whatever is there is a left-over of a former life, under a lease that nobody keeps.
    if (!client_->put_with_lease(key_, lease_, stop_)) {
      throw Error(ErrorCode::Conflict, key_.key + " now belongs to another machine");
    }
    is_written_ = true;
  }

  void revoke() {
    if (lease_ == 0) return;
    try {
      client_->revoke_lease(lease_, kRevokeTimeout);
    } catch (const Error&) {
      // The key goes when its time to live is over.
    }
  }

  const std::shared_ptr<EtcdClient> client_;
  const LeasedKey key_;
  const std::chrono::seconds ttl_;
  Cancellation stop_;
  RetryDelay delay_;
  std::int64_t lease_ = 0;
  bool is_written_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Presence> make_etcd_presence(std::shared_ptr<EtcdClient> client, LeasedKey key,
                                             std::chrono::seconds ttl) {
  return std::make_unique<EtcdPresence>(std::move(client), std::move(key), ttl);
}

}  // namespace plexvol::store
