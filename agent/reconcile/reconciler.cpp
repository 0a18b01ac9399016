#include "agent/reconcile/reconciler.h"

#include <utility>

namespace plexvol::reconcile {

Reconciler::Reconciler(Tools tools, ReconcilerSettings settings)
    : shared_(std::move(tools), std::move(settings)) {}

Outcome Reconciler::reconcile(const std::string& volume, const store::VolumeView* ahead) {
  if (ahead != nullptr && Pass(shared_, volume).is_at_rest(*ahead)) return Outcome::Settled;
  return Pass(shared_, volume).run();
}

Outcome Reconciler::arbitrate(const std::string& volume) {
  return Pass(shared_, volume).arbitrate();
}

std::vector<std::string> Reconciler::look_at_cordons() {
  return shared_.memory.list_with_peer_in(shared_.peers.look_at_cordons(shared_.tools.store));
}

std::vector<std::string> Reconciler::list_drained() const {
  return shared_.memory.list_with_peer_in(shared_.peers.list_drained());
}

std::set<std::string> Reconciler::list_concerned() {
  std::set<std::string> names = shared_.tools.store.list_assigned(shared_.settings.here);
  for (const std::string& name : shared_.tools.drbd.list_configured()) names.insert(name);
  return names;
}

void Reconciler::take_turns() {
  shared_.resync_turns.look(shared_.tools.drbd);
}

std::map<std::string, std::vector<std::string>> Reconciler::list_mounts() const {
  return shared_.memory.list_mounts();
}

std::vector<std::string> Reconciler::list_changed_mounts() const {
  return shared_.memory.list_changed_mounts();
}

}  // namespace plexvol::reconcile
