#include "agent/store/etcd_watch.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "agent/api/error.h"

namespace plexvol::store {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestDelay{10'000};

class EtcdWatch : public Watch {
 public:
  EtcdWatch(std::shared_ptr<EtcdClient> client, std::string prefix, ChangeHandler on_change)
      : client_(std::move(client)),
        prefix_(std::move(prefix)),
        on_change_(std::move(on_change)),
        thread_([this] { run(); }) {}

  ~EtcdWatch() override {
    stop_.cancel();
    thread_.join();
  }

  EtcdWatch(const EtcdWatch&) = delete;
  EtcdWatch& operator=(const EtcdWatch&) = delete;

 private:
  enum class End { Broken, StartAgain };

  void run() {
    while (!stop_.cancelled()) {
      const milliseconds delay = follow() == End::StartAgain ? milliseconds(0) : delay_.next();
      if (stop_.wait_for(delay)) return;
    }
  }

  End follow() {
    try {
      const auto stream = client_->open_watch(prefix_, next_revision_, stop_);
      while (const std::optional<WatchNews> news = stream->read()) {
        if (stop_.cancelled()) break;
        if (news->canceled) return canceled(*news);
        if (news->created && !created(*news)) return start_again();
        changed(*news);
      }
    } catch (const Error&) {
      // Whoever asks the store for something hears of it; here there is nobody to tell.
    }
    return End::Broken;
  }

  End canceled(const WatchNews& news) {
    return news.compacted && next_revision_ != 0 ? start_again() : End::Broken;
  }

  // What happened in between is not known any more: the next stream begins with "look at
  // everything".
  End start_again() {
    next_revision_ = 0;
    return End::StartAgain;
  }

  // False when this etcd cannot know what we saw last: another cluster under the same address, a
  // restored backup, or a member that is behind the others.
  bool created(const WatchNews& news) {
    delay_.reset();
    if (next_revision_ == 0) {
      cluster_ = news.cluster;
      next_revision_ = news.revision + 1;
      on_change_(prefix_);
      return true;
    }
    return news.cluster == cluster_ && news.revision + 1 >= next_revision_;
  }

  void changed(const WatchNews& news) {
    for (const std::string& key : news.keys) {
      if (stop_.cancelled()) return;
      on_change_(key);
    }
    // The revision of the store can be ahead of the changes that were already sent; without any it
    // is a report that all of them were.
    const bool is_report = news.keys.empty() && !news.created;
    const std::int64_t seen = is_report ? news.revision : news.last_revision;
    next_revision_ = std::max(next_revision_, seen + 1);
  }

  const std::shared_ptr<EtcdClient> client_;
  const std::string prefix_;
  const ChangeHandler on_change_;
  Cancellation stop_;
  RetryDelay delay_{kLongestDelay};
  std::int64_t next_revision_ = 0;  // 0: from now on
  std::uint64_t cluster_ = 0;
  std::thread thread_;  // last: it uses all the others
};

}  // namespace

std::unique_ptr<Watch> make_etcd_watch(std::shared_ptr<EtcdClient> client,
                                       const std::string& prefix, ChangeHandler on_change) {
  return std::make_unique<EtcdWatch>(std::move(client), prefix, std::move(on_change));
}

}  // namespace plexvol::store
