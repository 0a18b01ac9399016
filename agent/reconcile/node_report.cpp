#include "agent/reconcile/node_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "agent/filesystem/filesystem.h"
#include "agent/log.h"
#include "agent/store/taken.h"

namespace plexvol::reconcile {

namespace {

constexpr std::chrono::seconds kRetry{1};

}  // namespace

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
      std::string problem;
      try {
        report();
      } catch (const std::exception& error) {
        problem = std::string("the node's state cannot be written: ") + error.what();
      }
      tell(problem, problem_);
      wait(stop, problem.empty() ? settings_.interval : kRetry);
    }
  }

  // Until it is time, or somebody wants a look, or the address that was missing is there.
  void wait(const std::stop_token& stop, std::chrono::seconds pause) {
    const auto end = std::chrono::steady_clock::now() + pause;
    std::unique_lock lock(mutex_);
    while (!wanted_ && !stop.stop_requested()) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= end) break;
      const auto slice = has_address_ ? end : std::min(end, now + kRetry);
      if (wake_.wait_until(lock, stop, slice, [this] { return wanted_; })) break;
      if (!has_address_ && !settings_.address().empty()) break;
    }
    wanted_ = false;
  }

  void report() {
    announce();
    const std::optional<model::Node> before = find_written();
    model::Node node = measure();
    if (before) keep_unknown(*before, node);
    // Compared with the store, not with what was written last: somebody may have removed it.
    if (before != node) write(before, node);
    report_taken();
  }

  void write(const std::optional<model::Node>& before, const model::Node& node) {
    if (before && before->address != node.address && !before->address.empty()) {
      log::warn(fmt::format("this node's address for replication changed from {} to {}",
                            before->address, node.address.empty() ? "unknown" : node.address));
    }
    store_.put_node(node);
  }

  // What DRBD is used for beside us: no volume must be given the same numbers here.
  void report_taken() {
    try {
      const drbd::Numbers others = drbd_.list_others_numbers();
      store::put_taken(store_, settings_.here, {.minors = others.minors, .ports = others.ports});
    } catch (const Error& error) {
      log::warn(std::string("DRBD's other resources cannot be listed: ") + error.what());
    }
  }

  void announce() {
    const std::string key = store::keys::alive(settings_.here);
    const auto session = presence_ ? store_.find_session(settings_.here) : std::nullopt;
    // What it was bound to may have changed: then it does not come back by itself.
    if (!session) {
      presence_.reset();
      presence_ = store_.raw().announce(key, settings_.session, settings_.lease, {});
    }
    tell(!session || *session == settings_.session
             ? ""
             : fmt::format("another agent runs as node {} (session {}): stop it, or give its "
                           "machine its own node_name",
                           settings_.here, *session),
         other_agent_);
  }

  // Only this agent writes it, so an unreadable one is replaced.
  std::optional<model::Node> find_written() {
    try {
      return store_.find_node(settings_.here);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::Internal) throw;
      return std::nullopt;
    }
  }

  static void keep_unknown(const model::Node& before, model::Node& node) {
    node.unknown = before.unknown;
    for (model::Pool& pool : node.pools) {
      if (const auto* same = before.find_pool(pool.name)) pool.unknown = same->unknown;
    }
  }

  // Once for each.
  static void tell(const std::string& now, std::string& before) {
    if (now != before && !now.empty()) log::warn(now);
    before = now;
  }

  model::Node measure() {
    const std::string address = settings_.address();
    has_address_ = !address.empty();
    // First of the rest: it may load the module.
    const std::string mirror_error = settings_.mirror_error();
    model::Node node{.name = settings_.here,
                     .address = address,
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
  bool has_address_ = true;
  std::string problem_;      // as told last
  std::string other_agent_;  // as told last
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
