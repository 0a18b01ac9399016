#include "agent/controller/controller.h"

#include <fmt/core.h>

#include <charconv>
#include <functional>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/controller/agent_watch.h"
#include "agent/controller/bell.h"
#include "agent/controller/claim_growth.h"
#include "agent/controller/cluster_view.h"
#include "agent/controller/failover.h"
#include "agent/controller/known_volumes.h"
#include "agent/controller/node_labels.h"
#include "agent/controller/orphans.h"
#include "agent/controller/paths.h"
#include "agent/controller/provisioner.h"
#include "agent/controller/reclaimer.h"
#include "agent/controller/stale_affinity.h"
#include "agent/controller/volume_events.h"
#include "agent/controller/work_queue.h"
#include "agent/kube/cache.h"
#include "agent/kube/events.h"
#include "agent/log.h"
#include "agent/view/names.h"

namespace plexvol::controller {

namespace {

// Most of them wait for agents.
constexpr int kProvisioners = 32;
constexpr int kReclaimers = 8;
constexpr const char* kAll = "all";
// After an outage of the store, claims wait for this.
constexpr std::chrono::minutes kLongestClaimPause(1);
// Many changes come together.
constexpr std::chrono::seconds kBeforeOrphans(1);
constexpr std::chrono::seconds kBetweenFailovers(1);
constexpr std::chrono::seconds kBeforeNews(1);
constexpr std::chrono::seconds kBeforeView(1);
constexpr std::chrono::seconds kLongestViewPause(30);
constexpr unsigned kFirstWithAffinity = 10;
constexpr unsigned kFirstWithStatusPath = 11;
constexpr auto kListTimeout = std::chrono::minutes(2);

// "20+" is 20. Of servers that do not tell, what is usual.
unsigned minor_version(kube::Client& client) {
  unsigned minor = 0;
  const auto version = nlohmann::json::parse(client.get("/version"), nullptr, false);
  const std::string text =
      version.is_object() ? version.value("minor", std::string("99")) : std::string("99");
  std::from_chars(text.data(), text.data() + text.size(), minor);
  return minor;
}

class Leader {
 public:
  Leader(kube::Client& client, const NodeAgent& agent, const Settings& settings)
      : settings_(settings),
        minor_(minor_version(client)),
        events_(client, "plexvol-controller", settings.identity),
        known_([this] { on_volumes_changed(); }),
        claims_(client, paths::kClaims, [this](const std::string& key) { on_claim(key); }),
        classes_(client, paths::kClasses, [this](const std::string&) { look_at_all_claims(); }),
        volumes_(client, paths::kVolumes, [this](const std::string& key) { on_volume(key); }),
        nodes_(client, paths::kNodes, [this](const std::string&) { on_node(); }),
        labels_({.client = client,
                 .nodes = nodes_,
                 .volumes = known_,
                 .bell = bell_,
                 .on_labelled = [this](const std::string& volume) { on_labelled(volume); }}),
        provisioner_({.client = client,
                      .events = events_,
                      .agent = agent,
                      .known = known_,
                      .labels = labels_,
                      .claims = claims_,
                      .volumes = volumes_,
                      .classes = classes_,
                      .server_knows_affinity = minor_ >= kFirstWithAffinity}),
        claim_growth_(
            {.client = client,
             .events = events_,
             .grow = [&agent](const std::string& volume,
                              std::uint64_t size_bytes) { return agent.grow(volume, size_bytes); },
             .claims = claims_,
             .volumes = volumes_}),
        reclaimer_({.client = client, .events = events_, .agent = agent, .volumes = volumes_}),
        orphans_({.client = client, .agent = agent, .claims = claims_, .volumes = volumes_}),
        failover_({.client = client,
                   .events = events_,
                   .agent = agent,
                   .known = known_,
                   .claims = claims_,
                   .volumes = volumes_,
                   .nodes = nodes_}),
        volume_events_({.events = events_, .volumes = volumes_}),
        stale_affinity_({.events = events_, .volumes = volumes_, .nodes = nodes_}),
        volume_objects_(client, view::kVolumesPath,
                        [this](const std::string&) { look_at_view_soon(); }),
        node_objects_(client, view::kNodesPath,
                      [this](const std::string&) { look_at_view_soon(); }),
        view_({.client = client,
               .list_nodes = [&agent] { return agent.list_nodes(); },
               .change_node = [&agent](
                                  const std::string& node,
                                  const std::string& action) { agent.change_node(node, action); },
               .set_copies = [&agent](const std::string& volume,
                                      unsigned copies) { agent.set_copies(volume, copies); },
               .ask_size = [&agent](const std::string& volume,
                                    const std::string& size) { agent.ask_size(volume, size); },
               .known = known_,
               .volumes = volumes_,
               .volume_objects = volume_objects_,
               .node_objects = node_objects_,
               .server_has_status_path = minor_ >= kFirstWithStatusPath}),
        volume_watch_(agent, known_) {}

  void run(const std::stop_token& stop);

 private:
  void on_claim(const std::string& key);
  void on_volume(const std::string& key);
  void on_node();
  void on_volumes_changed();
  void on_labelled(const std::string& volume);
  void look_at_all_claims();
  void look_for_orphans_soon() { orphans_to_look_for_.add_after(kAll, kBeforeOrphans); }
  void look_for_news_soon() { news_to_look_for_.add_after(kAll, kBeforeNews); }
  void look_at_view_soon() { view_to_look_at_.add_after(kAll, kBeforeView); }
  bool are_listed(const std::stop_token& stop);

  void look_at_claim(const std::string& key);
  void look_at_volume(const std::string& name);
  void look_for_orphans();
  void look_for_dead_nodes();
  void look_for_news();
  void look_at_view();

  const Settings settings_;  // first: the callbacks of the others use it
  const unsigned minor_;
  WorkQueue claims_to_look_at_{{.longest = kLongestClaimPause}};
  WorkQueue volumes_to_look_at_{{}};
  WorkQueue orphans_to_look_for_{{}};
  WorkQueue dead_nodes_to_look_for_{{.first = kBetweenFailovers, .longest = kBetweenFailovers}};
  WorkQueue news_to_look_for_{{}};
  WorkQueue view_to_look_at_{{.first = kBeforeView, .longest = kLongestViewPause}};
  Bell bell_;  // the nodes' labels may be wrong

  kube::Events events_;
  KnownVolumes known_;
  kube::Cache<kube::Claim> claims_;
  kube::Cache<kube::StorageClass> classes_;
  kube::Cache<kube::PersistentVolume> volumes_;
  kube::Cache<kube::Node> nodes_;
  NodeLabels labels_;
  Provisioner provisioner_;
  ClaimGrowth claim_growth_;
  Reclaimer reclaimer_;
  Orphans orphans_;
  Failover failover_;
  VolumeEvents volume_events_;
  StaleAffinity stale_affinity_;
  ClusterView::Objects volume_objects_;
  ClusterView::Objects node_objects_;
  ClusterView view_;
  VolumeWatch volume_watch_;
};

void Leader::on_claim(const std::string& key) {
  claims_to_look_at_.add(key);
  look_for_orphans_soon();  // it may have gone
}

void Leader::on_volume(const std::string& key) {
  volumes_to_look_at_.add(key);
  look_for_orphans_soon();
  look_for_news_soon();
  look_at_view_soon();
}

// Kubelets write a node's status every few seconds: what is done here has to cost little.
void Leader::on_node() {
  bell_.ring();
  look_for_news_soon();
}

void Leader::on_volumes_changed() {
  bell_.ring();
  look_for_orphans_soon();
  look_for_news_soon();
  look_at_view_soon();
  if (settings_.failover) dead_nodes_to_look_for_.add(kAll);
}

// Its claim waits for this.
void Leader::on_labelled(const std::string& volume) {
  const std::string uid = claim_uid(volume);
  for (const auto& claim : claims_.all()) {
    if (claim->meta.uid == uid) claims_to_look_at_.add(claim->meta.key());
  }
}

void Leader::look_at_all_claims() {
  for (const auto& claim : claims_.all()) {
    if (is_waiting_for_us(*claim)) claims_to_look_at_.add(claim->meta.key());
  }
}

void Leader::look_at_claim(const std::string& key) {
  const bool has_failed = provisioner_.look_at(key) == Provisioner::Outcome::Failed ||
                          (needs_claim_growth(minor_) && !claim_growth_.look_at(key));
  if (has_failed) {
    claims_to_look_at_.retry(key);
  } else {
    claims_to_look_at_.done(key);
  }
}

void Leader::look_at_volume(const std::string& name) {
  if (reclaimer_.look_at(name)) {
    volumes_to_look_at_.done(name);
  } else {
    volumes_to_look_at_.retry(name);
  }
}

void Leader::look_for_orphans() {
  if (known_.is_listed()) orphans_.look(known_.all());
  orphans_to_look_for_.done(kAll);
}

void Leader::look_for_dead_nodes() {
  if (!known_.is_listed() || failover_.look()) {
    if (failover_.has_dead_nodes()) {
      dead_nodes_to_look_for_.add_after(kAll, Failover::kAgain);
    }
    dead_nodes_to_look_for_.done(kAll);
  } else {
    dead_nodes_to_look_for_.retry(kAll);
  }
}

void Leader::look_for_news() {
  if (known_.is_listed()) {
    const auto volumes = known_.all();
    volume_events_.look(volumes);
    stale_affinity_.look(volumes);
  }
  const bool is_waiting = volume_events_.is_waiting() || stale_affinity_.is_waiting();
  if (is_waiting) news_to_look_for_.add_after(kAll, VolumeEvents::kAgain);
  news_to_look_for_.done(kAll);
}

void Leader::look_at_view() {
  if (view_.look()) {
    view_to_look_at_.done(kAll);
  } else {
    view_to_look_at_.retry(kAll);
  }
}

bool Leader::are_listed(const std::stop_token& stop) {
  const base::Deadline deadline = base::Clock::now() + kListTimeout;
  return claims_.await_listed(deadline, stop) && classes_.await_listed(deadline, stop) &&
         volumes_.await_listed(deadline, stop) && nodes_.await_listed(deadline, stop);
}

void Leader::run(const std::stop_token& stop) {
  if (!are_listed(stop)) {
    if (stop.stop_requested()) return;
    throw Error(ErrorCode::Unavailable,
                "cannot list what the cluster has (claims, PersistentVolumes, StorageClasses, "
                "nodes): the log says why");
  }
  std::vector<std::jthread> workers;
  const auto work = [&](WorkQueue& queue, int count, auto&& look_at) {
    for (int i = 0; i < count; ++i) {
      workers.emplace_back([&queue, stop, look_at] {
        const kube::CallStop calls(stop);
        while (const auto name = queue.take(stop)) look_at(*name);
      });
    }
  };
  work(claims_to_look_at_, kProvisioners, [this](const std::string& key) { look_at_claim(key); });
  work(volumes_to_look_at_, kReclaimers, [this](const std::string& name) { look_at_volume(name); });
  work(orphans_to_look_for_, 1, [this](const std::string&) { look_for_orphans(); });
  work(news_to_look_for_, 1, [this](const std::string&) { look_for_news(); });
  work(view_to_look_at_, 1, [this](const std::string&) { look_at_view(); });
  work(dead_nodes_to_look_for_, 1, [this](const std::string&) { look_for_dead_nodes(); });
}

}  // namespace

void lead(kube::Client& client, const NodeAgent& agent, const Settings& settings,
          const std::stop_token& stop) {
  log::info("leading");
  Leader leader(client, agent, settings);
  leader.run(stop);
}

}  // namespace plexvol::controller
