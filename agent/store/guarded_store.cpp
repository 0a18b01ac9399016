#include "agent/store/guarded_store.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/log.h"
#include "agent/store/keys.h"
#include "agent/store/records.h"

namespace plexvol::store {

namespace {

// While the right is granted: each commit is bound to it anyway.
constexpr std::chrono::seconds kCheckInterval{30};
constexpr int kMaxRaces = 20;

// This agent has no right to the store: neither does asking in another way help, nor a moment's
// patience.
class Refused : public Error {
 public:
  explicit Refused(const std::string& why) : Error(ErrorCode::Unavailable, why) {}
};

std::int64_t check_schema(const std::optional<Entry>& entry) {
  if (!entry) return 0;
  model::Schema schema;
  try {
    schema = read_record<model::Schema>(*entry);
  } catch (const Error& error) {
    throw Refused(error.what());
  }
  if (schema.writers <= model::kSchema) return entry->revision;
  throw Refused(fmt::format(
      "the store was upgraded by plexvold {} to a newer format ({}, this agent supports "
      "{}), which this agent would damage: upgrade the agent on this node",
      schema.by, schema.writers, model::kSchema));
}

template <class T>
std::optional<T> readable(const std::optional<Entry>& entry) {
  if (!entry) return std::nullopt;
  try {
    return read_record<T>(*entry);
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool changes_set(const Transaction& transaction) {
  return std::ranges::any_of(transaction.writes, [](const Write& write) {
    return write.key.starts_with(keys::current_prefix());
  });
}

bool names_turn(const Transaction& transaction) {
  return std::ranges::any_of(transaction.conditions, [](const Condition& condition) {
    return condition.key == keys::rolled_back();
  });
}

}  // namespace

GuardedStore::GuardedStore(Store& inside, Identity identity)
    : inside_(inside),
      identity_(std::move(identity)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

GuardedStore::~GuardedStore() = default;

void GuardedStore::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    ask();
    std::unique_lock lock(mutex_);
    const State state = state_;
    const auto pause =
        state == State::Granted ? std::chrono::milliseconds(kCheckInterval) : identity_.retry;
    changed_.wait_for(lock, stop, pause, [&] { return state_ != state || ask_now_; });
    ask_now_ = false;
  }
}

// Answers by set(). A store that does not answer says nothing about the right: who has it keeps it.
void GuardedStore::ask() {
  const std::lock_guard one_at_a_time(ask_mutex_);
  try {
    set(State::Granted, find_right(), "");
    tell_of_turn();
    if (identity_.seen != nullptr) identity_.seen->save();
  } catch (const Refused& refused) {
    set(State::Refused, std::nullopt, refused.what());
  } catch (const std::exception& error) {
    set(State::Unknown, std::nullopt, error.what());
  }
}

GuardedStore::Right GuardedStore::find_right() {
  const std::string& node = identity_.node;
  const auto entries = inside_.get_all({keys::schema(), keys::machine(node), keys::alive(node),
                                        keys::node(node), keys::rolled_back()});
  note_turn(entries[4]);
  Right right{.schema = check_schema(entries[0]), .machine = 0};
  if (!identity_.machine.empty()) {
    right.machine = claim_name(entries[1], entries[2], entries[3]);
  }
  return right;
}

// Once everybody can know it, the store is used as it is now.
void GuardedStore::tell_of_turn() {
  const std::string why = identity_.seen == nullptr ? "" : identity_.seen->contradiction();
  if (why.empty()) return;
  const std::string key = keys::rolled_back();
  const model::RolledBack turned{.node = identity_.node, .at = std::time(nullptr), .what = why};
  inside_.commit({.conditions = {{key, 0}}, .writes = {{key, model::to_json(turned)}}});
  note_turn(inside_.get(key));
  identity_.seen->accept();
}

// Who sees it tells it at once, not only when a set is to be changed.
void GuardedStore::look_at_answer() {
  if (identity_.seen == nullptr || identity_.seen->contradiction().empty()) return;
  const std::lock_guard lock(mutex_);
  ask_now_ = true;
  changed_.notify_all();
}

void GuardedStore::note_turn(const std::optional<Entry>& entry) {
  std::string text;
  if (entry) {
    const auto turned = readable<model::RolledBack>(entry);
    const std::string who = turned ? fmt::format(", as {} saw at {} ({})", turned->node,
                                                 time_to_text(turned->at), turned->what)
                                   : "";
    text = fmt::format(
        "the store was rolled back or replaced{}: no volume's current set is changed "
        "until you run `plexvol store repair`",
        who);
  }
  const std::lock_guard lock(mutex_);
  rolled_back_ = text;
}

std::string GuardedStore::rolled_back() const {
  const std::lock_guard lock(mutex_);
  return rolled_back_;
}

// Answers the revision of machines/<node> with this machine in it.
std::int64_t GuardedStore::claim_name(const std::optional<Entry>& holder,
                                      const std::optional<Entry>& alive,
                                      const std::optional<Entry>& node) {
  const std::string& name = identity_.node;
  const auto found = readable<model::Machine>(holder);
  if (holder && !found) throw Refused(fmt::format("node {}: {} cannot be read", name, holder->key));
  if (found && found->id == identity_.machine) return holder->revision;
  const auto record = readable<model::Node>(node);
  const std::string address = record ? record->address : "";
  const std::string there = address.empty() ? "" : " at " + address;
  const std::string own = identity_.address();
  // An agent of 0.1.0 says nothing of its machine. It may be this one's own, a moment ago.
  const bool is_another = found || (!address.empty() && !own.empty() && address != own);
  if (alive && is_another) {
    throw Refused(
        fmt::format("node {}: another machine{} has this name, and its agent runs: give "
                    "this machine a different node_name",
                    name, there));
  }
  if (found && !inside_.list(keys::assigned_prefix(name)).empty()) {
    throw Refused(
        fmt::format("node {0}: another machine{1} has this name, is down, and has replicas of "
                    "volumes. If it will not come back: plexvol node forget {0}. If its disks "
                    "are in this machine, or its system was reinstalled: plexvol node adopt "
                    "{0}",
                    name, there));
  }
  const std::string key = keys::machine(name);
  const std::int64_t before = holder ? holder->revision : 0;
  const model::Machine next{.id = identity_.machine, .since = std::time(nullptr)};
  const bool claimed = inside_.commit(
      {.conditions = {{key, before}, {keys::alive(name), alive ? alive->revision : 0}},
       .writes = {{key, model::to_json(next)}}});
  const auto now = inside_.get(key);
  const auto written = readable<model::Machine>(now);
  if (written && written->id == identity_.machine) return now->revision;
  throw Error(ErrorCode::Unavailable,
              fmt::format("node {} {}: retrying", name,
                          claimed ? "was claimed by another machine" : "has just changed"));
}

void GuardedStore::set(State state, std::optional<Right> right, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (state == State::Unknown && state_ != State::Unknown) return;
  if (state == State::Refused && reason != reason_) log::error("the store is not used: " + reason);
  if (state == State::Granted && state_ == State::Refused) {
    log::info(fmt::format("the store is used: node {} is this machine", identity_.node));
  }
  state_ = state;
  reason_ = reason;
  if (right) right_ = *right;
  changed_.notify_all();
}

GuardedStore::Right GuardedStore::require_right() {
  std::unique_lock lock(mutex_);
  // At the agent's start: the first answer comes within the time that the store gives its calls.
  changed_.wait(lock, [this] { return state_ != State::Unknown || !reason_.empty(); });
  if (state_ == State::Granted) return right_;
  throw Error(ErrorCode::Unavailable, reason_);
}

std::vector<Condition> GuardedStore::conditions_of(const Right& right) const {
  std::vector<Condition> conditions{{keys::schema(), right.schema}};
  if (right.machine != 0) conditions.push_back({keys::machine(identity_.node), right.machine});
  return conditions;
}

std::optional<Entry> GuardedStore::get(const std::string& key) {
  require_right();
  auto found = inside_.get(key);
  look_at_answer();
  return found;
}

std::vector<std::optional<Entry>> GuardedStore::get_all(const std::vector<std::string>& keys) {
  require_right();
  auto found = inside_.get_all(keys);
  look_at_answer();
  return found;
}

std::vector<Entry> GuardedStore::list(const std::string& prefix) {
  require_right();
  auto found = inside_.list(prefix);
  look_at_answer();
  return found;
}

bool GuardedStore::commit(const Transaction& transaction) {
  const bool is_bound = changes_set(transaction) && !names_turn(transaction);
  for (int race = 0; race < kMaxRaces; ++race) {
    const Right right = require_right();
    if (is_bound) tell_of_turn();
    Transaction bound = transaction;
    if (is_bound) bound.conditions.push_back({keys::rolled_back(), 0});
    for (Condition& condition : conditions_of(right)) {
      bound.conditions.push_back(std::move(condition));
    }
    if (inside_.commit(bound)) return true;
    // Was it the right, or what the caller required?
    ask();
    const Right now = require_right();
    if (is_bound) {
      if (const std::string why = rolled_back(); !why.empty()) {
        throw Error(ErrorCode::Conflict, why);
      }
    }
    if (now.schema == right.schema && now.machine == right.machine) return false;
  }
  throw Error(ErrorCode::Unavailable, "the store's schema changes too often");
}

std::unique_ptr<Watch> GuardedStore::watch(const std::string& prefix, ChangeHandler on_change) {
  return inside_.watch(prefix, std::move(on_change));
}

std::unique_ptr<Presence> GuardedStore::announce(const std::string& key, const std::string& value,
                                                 std::chrono::seconds ttl,
                                                 const std::vector<Condition>& conditions) {
  const Right right = require_right();
  std::vector<Condition> bound = conditions;
  // Not to the schema: that changes while agents of several versions run.
  if (right.machine != 0) bound.push_back({keys::machine(identity_.node), right.machine});
  return inside_.announce(key, value, ttl, bound);
}

std::string GuardedStore::refusal() const {
  const std::lock_guard lock(mutex_);
  return state_ == State::Refused ? reason_ : "";
}

void GuardedStore::give_name_up() {
  const std::string key = keys::machine(identity_.node);
  if (!inside_.commit(
          {.conditions = {{keys::alive(identity_.node), 0}}, .writes = {{key, std::nullopt}}})) {
    throw Error(ErrorCode::Conflict,
                fmt::format("node {}: the agent of the machine with this name is running, or was a "
                            "moment ago: stop that machine first",
                            identity_.node));
  }
  ask();
}

}  // namespace plexvol::store
