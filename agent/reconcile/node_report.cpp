#include "agent/reconcile/node_report.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "agent/filesystem/filesystem.h"
#include "agent/log.h"

namespace plexvol::reconcile {

class NodeReport::Impl {
 public:
  Impl(store::TypedStore& store, const std::map<std::string, std::unique_ptr<Pool>>& pools,
       drbd::Drbd& drbd, NodeReportSettings settings)
      : store_(store),
        pools_(pools),
        drbd_(drbd),
        settings_(std::move(settings)),
        thread_([this](const std::stop_token& stop) { run(stop); }) {}

  void look_again() {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
    wake_.notify_all();
  }

 private:
  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      bool written = true;
      try {
        report();
      } catch (const std::exception& error) {
        log::warn(std::string("the node's state cannot be written: ") + error.what());
        written = false;
      }
      std::unique_lock lock(mutex_);
      const auto pause = written ? settings_.interval : std::chrono::seconds(1);
      wake_.wait_for(lock, stop, pause, [this] { return wanted_; });
      wanted_ = false;
    }
  }

  void report() {
    if (!presence_) {
      presence_ = store_.raw().announce(store::keys::alive(settings_.here), settings_.session,
                                        settings_.lease);
    }
    const model::Node node = measure();
    // Compared with the store, not with what was written last: somebody may have removed it.
    if (store_.find_node(node.name) != node) store_.put_node(node);
  }

  model::Node measure() {
    // First: it may load the module.
    const std::string mirror_error = settings_.mirror_error();
    model::Node node{.name = settings_.here,
                     .address = settings_.address,
                     .version = settings_.version,
                     .drbd_version = drbd_.module_version(),
                     .mirror_error = mirror_error,
                     .pools = {},
                     .kernel = filesystem::kernel_release()};
    for (const PoolSettings& settings : settings_.pools) {
      model::Pool pool{.name = settings.name,
                       .type = settings.type,
                       .total_bytes = 0,
                       .free_bytes = 0,
                       .error = {},
                       .max_promised_percent = settings.max_promised_percent};
      try {
        pools_.at(settings.name)->measure(pool);
      } catch (const Error& error) {
        pool.error = error.what();
      }
      // Rounded, so that a log file that grows beside a `file` pool is no news for the whole
      // cluster.
      constexpr std::uint64_t kStep = 4ULL << 20;
      pool.free_bytes -= pool.free_bytes % kStep;
      node.pools.push_back(pool);
    }
    return node;
  }

  store::TypedStore& store_;
  const std::map<std::string, std::unique_ptr<Pool>>& pools_;
  drbd::Drbd& drbd_;
  NodeReportSettings settings_;
  std::unique_ptr<store::Presence> presence_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool wanted_ = false;
  std::jthread thread_;  // last: it uses all the others
};

NodeReport::NodeReport(store::TypedStore& store,
                       const std::map<std::string, std::unique_ptr<Pool>>& pools, drbd::Drbd& drbd,
                       NodeReportSettings settings)
    : impl_(std::make_unique<Impl>(store, pools, drbd, std::move(settings))) {}

NodeReport::~NodeReport() = default;

void NodeReport::look_again() {
  impl_->look_again();
}

}  // namespace plexvol::reconcile
