// The plan in the making; for plan*.cpp only.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/reconcile/plan.h"

namespace plexvol::reconcile {

// "12 (postgres) has /var/lib/... open; 14 (sh) ..." : enough to find them, short enough for one
// line.
std::string describe(const std::vector<filesystem::User>& users);

// "pod prod/db-0 (uid 1234), whose containers are not running now but which still exists; delete
// the pod"
std::string describe(const PodUse& pod, const std::string& node);

// DRBD's word is necessary, though never sufficient (arbiter rule 3).
bool disk_usable(const drbd::ResourceState& resource);

// DRBD has the backing devices open.
bool has_disk(const Seen& seen);

// Attached by a mount, and the last mount is gone.
bool was_left(const Wanted& wanted, const Seen& seen);

class Planner {
 public:
  Planner(const Wanted& wanted, const Seen& seen)
      : wanted_(wanted), seen_(seen), volume_(wanted.volume) {}

  std::vector<Action> run();
  std::vector<Action> run_arbitration();

 private:
  void add(ActionKind kind, std::string text = "") { actions_.push_back({kind, std::move(text)}); }
  void fail(ErrorCode code, std::string text) {
    actions_.push_back({ActionKind::Fail, std::move(text), code});
  }
  std::string name() const { return "volume " + volume_.name; }
  bool primary() const { return seen_.resource && seen_.resource->role == "Primary"; }
  bool connected() const { return seen_.resource && seen_.resource->connection == "Connected"; }
  bool is_current(const std::string& node) const {
    return wanted_.current && wanted_.current->nodes.contains(node);
  }
  std::string peer() const { return volume_.peer_of(wanted_.here); }
  bool diskless() const { return seen_.resource && seen_.resource->disk_state == "Diskless"; }
  // Failed is on its way to Diskless.
  bool has_no_disk() const {
    return diskless() || (seen_.resource && seen_.resource->disk_state == "Failed");
  }
  // The resource was brought up a moment ago, by a boot, and has not been attached yet.
  bool just_made() const { return seen_.resource && seen_.resource->untouched && !connected(); }
  // Both copies are connected and in the set.
  bool together() const { return connected() && is_current(wanted_.here) && is_current(peer()); }
  bool disk_usable() const { return reconcile::disk_usable(*seen_.resource); }
  bool in_use() const { return seen_.calls.waiting + seen_.calls.mounting > 0 || has_users(); }
  bool has_users() const { return !seen_.users.empty() || seen_.pod; }
  void plan_contradicted();
  bool refuse_strangers();
  void refuse_foreign_resource();
  bool clear_former_copy();
  void plan_rest(const model::Replica& replica);
  void fail_loss();
  void plan_configuration();
  bool plan_lone_disk();
  void plan_making();
  void plan_activation();
  bool plan_foundation();
  void plan_resource();
  bool plan_failed_disks();
  void hold_freeze(ErrorCode code, const std::string& text);
  bool plan_parting();
  bool plan_freeze();
  void plan_attachment();
  bool plan_letting_go();
  std::string why_in_use() const;
  std::string describe_content() const;
  bool plan_put_back();
  void plan_replacement();
  void plan_leaving();
  bool all_current() const;
  void plan_unattached();
  void unmount_all();
  void let_go();
  void plan_promotion();
  bool may_be_forced() const;
  bool plan_format();
  void plan_mount_calls();
  void plan_removal();
  void plan_data_removal();

  const Wanted& wanted_;
  const Seen& seen_;
  const model::Volume& volume_;
  std::vector<Action> actions_;
  std::string held_by_;  // what keeps the volume from being released; reported after all the rest
};

}  // namespace plexvol::reconcile
