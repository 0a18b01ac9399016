#include "tests/bench/scale/agent.h"

#include <map>

#include "agent/config.h"
#include "agent/process/trace_log.h"
#include "agent/reconcile/node_report.h"
#include "agent/reconcile/workers.h"
#include "agent/store/etcd_store.h"
#include "tests/bench/scale/idle_node.h"

namespace plexvol::scale {

namespace {

constexpr std::chrono::seconds kPatrol{60};  // as the agent's main has it by default

store::EtcdSettings store_settings(const AgentSettings& settings, const std::string& node) {
  store::EtcdSettings wanted;
  wanted.endpoints = {settings.endpoint};
  // Of no use without TLS, but gRPC lets channels with the same settings share one connection.
  wanted.server_name = node;
  return wanted;
}

using Pools = std::map<std::string, std::unique_ptr<reconcile::Pool>>;

Pools make_pools(Looks& looks) {
  Pools pools;
  pools[kPool] = std::make_unique<IdlePool>(looks);
  return pools;
}

}  // namespace

class Agent::Parts {
 public:
  Parts(const AgentSettings& settings, const std::string& node,
        const std::vector<model::Volume>& volumes)
      : volumes_(volumes.size()),
        raw_store_(store_settings(settings, node)),
        acted_(settings.directory + "/acted"),
        tools_(volumes),
        pools_(make_pools(looks_)),
        drbd_(runner_, write_drbd_files(settings.directory, node, volumes)),
        report_(store_, pools_, drbd_, report_settings(node)),
        reconciler_({.store = store_,
                     .arbiter = arbiter_,
                     .pools = pools_,
                     .drbd = drbd_,
                     .filesystem = filesystem_,
                     .calls = calls_,
                     .pods = pods_,
                     .jobs = jobs_,
                     .links = reconcile::Links(settings.directory + "/links")},
                    reconciler_settings(node)),
        // DRBD's own events would be another process each, that never says anything.
        workers_(
            reconciler_, queue_, store_,
            {.here = node, .workers = config_.workers, .watch_drbd = false, .patrol = kPatrol}) {}

  bool has_looked_at_all() const { return looks_.volumes() == volumes_; }

 private:
  reconcile::NodeReportSettings report_settings(const std::string& node) const {
    const model::Node entry = node_entry(node);
    return {.here = node,
            .session = session(node),
            .lease = std::chrono::seconds(config_.store.lease_seconds),
            .address = [address = entry.address] { return address; },
            .version = entry.version,
            .mirror_error = [] { return std::string(); },
            .pools = {{.name = kPool,
                       .type = "lvm",
                       .volume_group = kVolumeGroup,
                       .thin_pool = {},
                       .directory = {}}}};
  }

  reconcile::ReconcilerSettings reconciler_settings(const std::string& node) {
    return {.here = node,
            .session = session(node),
            .connect_time = std::chrono::seconds(config_.drbd.connect_seconds),
            .rebuild_time = std::chrono::seconds(config_.rebuild_seconds),
            .resync_limits = {.max = config_.drbd.max_resyncs},
            .space_changed = [this] { report_.look_again(); },
            .resyncs_changed = [this] { queue_.add(reconcile::Workers::kResyncs); }};
  }

  const Config config_;
  const std::size_t volumes_;
  Looks looks_;
  store::EtcdStore raw_store_;
  store::TypedStore store_{raw_store_};
  store::ActedSets acted_;
  arbiter::Arbiter arbiter_{store_, acted_};
  IdleRunner tools_;
  process::TraceLog trace_;
  process::TracingRunner runner_{tools_, trace_, [](const std::string&) {}};
  const Pools pools_;
  drbd::Drbd drbd_;
  filesystem::Filesystem filesystem_{runner_};
  reconcile::NodeReport report_;
  reconcile::Queue queue_;
  mounting::MountCalls calls_{[this](const std::string& volume) { queue_.add(volume); }};
  pods::Pods pods_{{.runtime_sockets = {}, .host_root = ""}};
  reconcile::Jobs jobs_{[this](const std::string& volume) { queue_.add(volume); }};
  reconcile::Reconciler reconciler_;
  const reconcile::Workers workers_;
};

Agent::Agent(const AgentSettings& settings, const Landscape& landscape, unsigned node)
    : parts_(std::make_unique<Parts>(settings, node_name(node), landscape.volumes_of(node))) {}

Agent::~Agent() = default;

bool Agent::has_looked_at_all() const {
  return parts_->has_looked_at_all();
}

}  // namespace plexvol::scale
