// The plan in the making; for plan*.cpp only.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent/filesystem/find_use.h"
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

class Planner;

// Whether the rules after the one that answers this may plan something, too.
enum class Then { GoOn, End };

struct Rule {
  const char* name;
  Then (Planner::*plan)();
};

class Planner {
 public:
  // Both must outlive it.
  Planner(const Wanted& wanted, const Seen& seen)
      : wanted_(wanted), seen_(seen), volume_(wanted.volume) {}

  // In the order in which they are asked.
  static std::span<const Rule> list_rules();
  static std::span<const Rule> list_arbitration_rules();

  // One of them is called, once.
  std::vector<Action> plan() {
    follow(list_rules());
    return actions_;
  }
  std::vector<Action> plan_arbitration() {
    follow(list_arbitration_rules());
    return actions_;
  }
  // The names of the rules that planned something, or ended the plan.
  const std::vector<std::string>& applied() const { return applied_; }

 private:
  void add(Action action) { actions_.push_back(std::move(action)); }
  void fail(ErrorCode code, std::string text) {
    actions_.push_back(actions::Fail{.code = code, .reason = std::move(text)});
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

  // The rules. Of list_rules():
  Then skip_others_volume();
  Then refuse_old_store();
  Then remove_former_mirror();
  Then remove_deleted();
  Then refuse_foreign_resource();
  Then leave_lost_arbitration();
  Then retire_replaced_copy();
  Then end_freeze();
  Then let_go_when_asked();
  Then tell_backing_error();
  Then make_copy();
  Then make_metadata();
  Then record_failed_disks();
  Then refuse_strangers();
  Then tell_loss();
  Then bring_up_layers();
  void take_down_layers();
  Then look_at_foundation();
  Then put_peer_back();
  Then leave_unattached();
  Then promote();
  Then format();
  Then answer_mount_calls();
  Then grow();
  Then change_copies();
  Then replace_peer();
  Then tell_holder();
  // Of list_arbitration_rules() alone:
  Then skip_arbitration();
  Then thaw_deleted();
  Then skip_replaced_copy();
  Then arbitrate_failed_disks();

  // What the rules are made of.
  void follow(std::span<const Rule> rules);
  void plan_contradicted();
  bool clear_former_copy();
  void plan_configuration();
  bool plan_lone_disk();
  bool activate();
  void plan_resource();
  bool plan_failed_disks();
  void hold_freeze(ErrorCode code, const std::string& text);
  std::string why_in_use() const;
  std::string describe_content() const;
  bool plan_put_back();
  void plan_leaving();
  bool all_current() const;
  void take_out_of_use();
  void stop_using();
  void unmount_all();
  void let_go();
  void plan_promotion();
  bool may_be_forced() const;
  bool wants_mirror() const;
  bool may_gain_mirror() const;
  bool may_drop_mirror() const;
  bool take_gain_back();
  bool remove_left_mirror();
  bool unused() const;
  bool mirror_can_grow() const;
  bool filesystem_can_grow() const;
  void plan_mount_calls();
  void remove_volume();
  void plan_data_removal();

  const Wanted& wanted_;
  const Seen& seen_;
  const model::Volume& volume_;
  std::vector<Action> actions_;
  std::vector<std::string> applied_;
  std::string held_by_;  // what keeps the volume from being released; reported after all the rest
};

}  // namespace plexvol::reconcile
