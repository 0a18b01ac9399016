// Every plan against tests/model/sequences.txt, the table that the model of the arbiter
// (tests/model/arbiter.pml) is held against as well: in every state of a small world, what is
// planned must be one of the sequences that the table allows there.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <sstream>

#include "agent/model/codec.h"
#include "agent/reconcile/apply.h"
#include "agent/reconcile/planner.h"
#include "tests/unit/reconcile/plan_cases.h"
#include "tests/unit/reconcile/reconciler_node.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)
namespace keys = store::keys;

namespace {

struct State {
  Wanted wanted;
  Seen seen;
};

bool is_in(const State& state, const std::string& node) {
  return state.wanted.current->nodes.contains(node);
}

bool has_no_disk(const std::string& disk) {
  return disk == "Diskless" || disk == "Failed";
}

bool is_good(const std::string& disk) {
  return disk == "UpToDate" || disk == "Consistent";
}

// The table's words that need a resource in the kernel.
bool resource_is(const std::string& word, const State& state) {
  if (!state.seen.resource) return false;
  const drbd::ResourceState& resource = *state.seen.resource;
  if (word == "resource") return true;
  if (word == "primary") return resource.role == "Primary";
  if (word == "peer-primary") return resource.peer_role == "Primary";
  if (word == "connected") return resource.connection == "Connected";
  if (word == "apart") return resource.connection == "StandAlone";
  if (word == "frozen") return resource.suspended == "fencing";
  if (word == "own=good") return is_good(resource.disk_state);
  if (word == "own=none") return has_no_disk(resource.disk_state);
  if (word == "peer=good") return is_good(resource.peer_disk_state);
  if (word == "just-made") return resource.untouched && resource.connection != "Connected";
  FAIL("unknown word in sequences.txt: " << word);
  return false;
}

bool is_so(const std::string& word, const State& state) {
  const auto& forced = state.wanted.current->forced;
  if (word == "in") return is_in(state, "n1");
  if (word == "peer-in") return is_in(state, "n2");
  if (word == "chosen") return forced && forced->disk_state == "Diskless";
  if (word == "forced-here") return forced.has_value();
  if (word == "config-current") return state.seen.config_current;
  if (word == "connection-current") return state.seen.connection_current;
  if (word == "only-resync-options") return state.seen.only_resync_options_changed;
  if (word == "gone") return !state.seen.backing_error && !state.seen.data;
  if (word == "peer-fate") return state.wanted.peer_fate != PeerFate::Stays;
  // Here n1 has a copy, and is to keep it, and both are made.
  if (word == "former" || word == "unmade") return false;
  if (word == "peer-replaced") {
    return !state.seen.config_current && !state.seen.connection_current && is_in(state, "n1") &&
           !is_in(state, "n2");
  }
  return resource_is(word, state);
}

// `|` of `&` of words, each with `!` before it or in parentheses.
class Guard {
 public:
  Guard(std::string_view text, const State& state) : rest_(text), state_(state) {}
  bool holds() {
    const bool value = any();
    REQUIRE(rest_.empty());
    return value;
  }

 private:
  bool take(char c) {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size()));
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // NOLINTBEGIN(misc-no-recursion): as deep as the parentheses of a line
  bool any() {
    bool value = all();
    while (take('|')) value = all() || value;
    return value;
  }
  bool all() {
    bool value = one();
    while (take('&')) value = one() && value;
    return value;
  }
  bool one() {
    if (take('!')) return !one();
    if (take('(')) {
      const bool value = any();
      REQUIRE(take(')'));
      return value;
    }
    const std::string_view word = rest_.substr(0, rest_.find_first_of(" &|)"));
    rest_.remove_prefix(word.size());
    rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size()));
    return is_so(std::string(word), state_);
  }
  // NOLINTEND(misc-no-recursion)

  std::string_view rest_;
  const State& state_;
};

struct Row {
  std::string guard;
  std::string actions;  // without the marks
};

struct Table {
  std::vector<Row> rows;
  std::set<std::string> words;      // that stand for an action
  std::set<std::string> comparing;  // those that are marked
};

// "label | family | guard | actions"
Table read_table() {
  std::ifstream file("tests/model/sequences.txt");
  REQUIRE(file);
  Table table;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.front() == '#') continue;
    const std::size_t family = line.find('|') + 1;
    const std::size_t guard = line.find('|', family) + 1;
    const std::size_t last = line.rfind('|');
    std::istringstream actions(line.substr(last + 1));
    Row row{line.substr(guard, last - guard), ""};
    for (std::string action; actions >> action;) {
      const bool compares = action.back() == '*';
      if (compares) action.pop_back();
      if (compares) table.comparing.insert(action);
      table.words.insert(action);
      row.actions += (row.actions.empty() ? "" : " ") + action;
    }
    table.rows.push_back(row);
  }
  REQUIRE(table.rows.size() > 20);
  return table;
}

std::string word_of(const Action& action) {
  const std::string text = to_text(action);
  return text.substr(0, text.find_first_of(": "));
}

// What is carried out before the next look.
std::vector<Action> until_look(std::vector<Action> actions) {
  const auto end = std::find_if(actions.begin(), actions.end(), [](const Action& action) {
    return is<actions::LookAgain>(action);
  });
  actions.erase(end, actions.end());
  return actions;
}

std::vector<Action> plan_once(const State& state) {
  return until_look(plan(state.wanted, state.seen));
}

std::string describe(const State& state, const std::vector<Action>& actions) {
  std::ostringstream text;
  if (state.seen.resource) {
    const auto& r = *state.seen.resource;
    text << r.role << ' ' << r.disk_state << ' ' << r.connection << " peer " << r.peer_role << ' '
         << r.peer_disk_state << " suspended " << r.suspended << (r.untouched ? " untouched" : "");
  } else {
    text << "no resource";
  }
  text << "; set";
  for (const std::string& node : state.wanted.current->nodes) text << ' ' << node;
  if (const auto& forced = state.wanted.current->forced) text << ", forced " << forced->disk_state;
  text << "; config " << state.seen.config_current << state.seen.connection_current
       << (state.seen.data ? "" : ", no backing") << (state.seen.backing_error ? " (error)" : "")
       << (state.wanted.attachment ? ", attached to " + state.wanted.attachment->node : "")
       << (state.seen.users.empty() ? "" : ", used") << "; planned:";
  for (const Action& action : actions) text << ' ' << word_of(action);
  return text.str();
}

drbd::ResourceState resource(const std::string& role, const std::string& disk) {
  auto state = *cases::seen_mirrored().resource;
  state.role = role;
  state.disk_state = disk;
  return state;
}

// The kernel's side: all that two nodes can look like from one of them.
std::vector<std::optional<drbd::ResourceState>> list_resources() {
  std::vector<std::optional<drbd::ResourceState>> all{std::nullopt};
  for (const char* role : {"Primary", "Secondary"}) {
    for (const char* disk :
         {"UpToDate", "Consistent", "Outdated", "Inconsistent", "Diskless", "Failed"}) {
      for (const char* apart : {"Connecting", "StandAlone"}) {
        auto state = resource(role, disk);
        state.connection = apart;
        state.peer_role = "Unknown";
        state.peer_disk_state = "DUnknown";
        all.emplace_back(state);
        state.untouched = true;
        if (state.role == "Secondary") all.emplace_back(state);
      }
      for (const char* peer_disk : {"UpToDate", "Outdated", "Inconsistent", "Diskless"}) {
        for (const char* peer_role : {"Primary", "Secondary"}) {
          auto state = resource(role, disk);
          state.peer_disk_state = peer_disk;
          state.peer_role = peer_role;
          all.emplace_back(state);
        }
      }
    }
  }
  std::vector<std::optional<drbd::ResourceState>> frozen;
  for (const auto& state : all) {
    if (!state || state->role != "Primary") continue;
    for (const char* suspended : {"fencing", "user"}) {
      frozen.push_back(state);
      frozen.back()->suspended = suspended;
    }
  }
  all.insert(all.end(), frozen.begin(), frozen.end());
  return all;
}

using Change = std::function<void(State&)>;
using Changes = std::vector<Change>;

Change set(std::set<std::string> nodes, const char* forced = nullptr) {
  return [=](State& state) {
    state.wanted.current->nodes = nodes;
    if (forced != nullptr) state.wanted.current->forced = {"n1", 0, "root on n3", forced};
  };
}

// The store's side, and what else the plan goes by.
const std::vector<Changes>& list_changes() {
  static const std::vector<Changes> kChanges{
      {set({"n1", "n2"}), set({"n1"}), set({"n2"}), set({"n1"}, ""), set({"n1"}, "Diskless"),
       set({"n1"}, "Inconsistent")},
      {[](State& state) { state.wanted = cases::attached(state.wanted); },
       [](State& state) {
         state.wanted = cases::attached(state.wanted, "n1", model::Holder::Mount);
       },
       [](State& state) {
         state.wanted = cases::attached(state.wanted);
         state.wanted.attachment->release = model::Release{"id", "a test"};
       },
       [](State& state) {
         state.wanted = cases::attached(state.wanted, "n2", model::Holder::Attach);
       },
       [](State&) {}},
      {[](State&) {}, [](State& state) { state.seen.users = {cases::kPostgres}; }},
      {[](State&) {},
       [](State& state) {
         state.seen.config_current = false;
         state.seen.connection_current = true;
       },
       [](State& state) {
         state.seen.config_current = false;
         state.seen.only_resync_options_changed = true;
       },
       [](State& state) { state.seen.config_current = state.seen.connection_current = false; },
       [](State& state) {
         state.seen.data.reset();
         state.seen.metadata.reset();
         state.seen.config_current = false;
       },
       [](State& state) {
         state.seen.data.reset();
         state.seen.config_current = false;
         state.seen.backing_error = Error(ErrorCode::NotFound, "no volume group vg");
       }},
      {[](State& state) { state.seen.question_time_over = state.seen.connect_time_over = true; },
       [](State& state) { state.wanted.peer_alive = true; },
       [](State& state) {
         state.seen.question_time_over = state.seen.apart_time_over = true;
         state.wanted.peer_fate = PeerFate::Gone;
       },
       [](State& state) { state.wanted.peer_fate = PeerFate::BackingGone; }}};
  return kChanges;
}

// Calls with each of the states.
template <class Call>
void for_each_state(Call call) {
  const auto& dimensions = list_changes();
  std::vector<std::size_t> at(dimensions.size());
  const auto resources = list_resources();
  for (bool more = true; more;) {
    State state{cases::mirrored(), cases::seen_mirrored()};
    state.seen.connection_current = true;
    for (std::size_t i = 0; i < at.size(); ++i) dimensions[i][at[i]](state);
    for (const auto& resource : resources) {
      state.seen.resource = resource;
      call(state);
    }
    more = false;
    for (std::size_t i = 0; i < at.size() && !more; ++i) {
      more = ++at[i] < dimensions[i].size();
      if (!more) at[i] = 0;
    }
  }
}

// What the store must be told at once, whatever else is wrong. "": nothing.
std::string due(const State& state) {
  if (!state.seen.resource) return "";
  const auto& r = *state.seen.resource;
  const bool connected = r.connection == "Connected";
  const bool here = is_in(state, "n1");
  const bool peer = is_in(state, "n2");
  const bool just_made = r.untouched && !connected;
  if (peer && has_no_disk(r.disk_state) && !just_made && (here || r.role != "Primary")) {
    return "LeaveSet";
  }
  const bool both_know = here && connected && r.disk_state == "UpToDate";
  if (both_know && peer && r.peer_disk_state != "UpToDate") return "TakeOut";
  const bool sure = state.seen.config_current && state.seen.data && !state.seen.backing_error;
  if (both_know && !peer && r.peer_disk_state == "UpToDate" && sure) return "PutBack";
  return "";
}

}  // namespace

namespace {

// Holds what `planner` plans against the table; which sequences it plans.
template <class Planner>
std::set<std::string> find_sequences(Planner planner) {
  const Table table = read_table();
  std::size_t wrong = 0;
  std::set<std::string> found;
  for_each_state([&](const State& given) {
    const auto asked = planner(given);
    const State& state = asked.first;
    const std::vector<Action>& actions = asked.second;
    std::string planned;
    for (const Action& action : actions) {
      if (!table.words.contains(word_of(action))) continue;
      planned += (planned.empty() ? "" : " ") + word_of(action);
    }
    if (planned.empty()) return;
    found.insert(planned);
    const bool allowed = std::any_of(table.rows.begin(), table.rows.end(), [&](const Row& row) {
      return row.actions == planned && Guard(row.guard, state).holds();
    });
    if (!allowed && ++wrong <= 40) FAIL_CHECK(describe(state, actions));
  });
  CHECK(wrong == 0);
  return found;
}

}  // namespace

TEST_CASE("plan: in every state, what is planned is a sequence of the model's table [D17]") {
  std::size_t states = 0;
  const auto found = find_sequences([&](const State& state) {
    ++states;
    return std::pair(state, plan_once(state));
  });
  CHECK(states > 50'000);
  CHECK(found.size() >= 15);
}

TEST_CASE(
    "arbitration: in every state it is a sequence of the model's, and does what is due [O12]") {
  const auto found = find_sequences([](const State& given) {
    const State state{given.wanted, cases::without_lvm(given.seen)};
    const auto actions = until_look(plan_arbitration(state.wanted, state.seen));
    const std::string needed = due(state);
    const bool is_done = std::any_of(actions.begin(), actions.end(), [&](const Action& action) {
      return word_of(action) == needed;
    });
    const bool parts = !actions.empty() && is<actions::Disconnect>(actions.front());
    if (!needed.empty() && !is_done && !parts)
      FAIL_CHECK(needed << ": " << describe(state, actions));
    return std::pair(state, actions);
  });
  CHECK(found.size() >= 5);
}

TEST_CASE("plan: in no state a failure comes before what the store must be told [D5]") {
  for_each_state([&](const State& state) {
    const auto actions = plan_once(state);
    const auto failure = std::find_if(actions.begin(), actions.end(), [](const Action& action) {
      return is<actions::Fail>(action);
    });
    if (failure == actions.end()) return;
    const std::string needed = due(state);
    const bool is_told = std::any_of(
        actions.begin(), failure, [&](const Action& action) { return word_of(action) == needed; });
    if (!needed.empty() && !is_told) FAIL_CHECK(needed << " is due: " << describe(state, actions));
  });
}

TEST_CASE("plan: in every state, a store that is older than this node changes nothing [D19]") {
  std::size_t states = 0;
  for_each_state([&](const State& state) {
    State older = state;
    older.wanted.contradiction = "older";
    for (const bool deleting : {false, true}) {
      older.wanted.volume.deleting = deleting;
      const auto planned = plan_once(older);
      ++states;
      const Action refusal = actions::Fail{.code = ErrorCode::Conflict, .reason = "older"};
      const bool is_refused = planned == std::vector{refusal};
      const bool is_linked = planned.size() == 1 && is<actions::Link>(planned[0]);
      if (!is_refused && !is_linked) FAIL_CHECK(describe(older, planned));
      if (!plan_arbitration(older.wanted, older.seen).empty()) FAIL_CHECK(describe(older, {}));
    }
  });
  CHECK(states > 100'000);
}

TEST_CASE("plan: with a store that is older, what is in use can be mounted once more [D19]") {
  State state{cases::attached(cases::mirrored()), cases::seen_mirrored("Primary")};
  state.wanted.contradiction = "older";
  state.seen.linked = true;
  state.seen.mounts = {"/a"};
  CHECK(cases::kinds(state.wanted, state.seen) == "Fail Conflict");
  state.seen.calls.waiting = 1;
  CHECK(cases::kinds(state.wanted, state.seen) == "CompleteMountCalls, LookAgain");
  SUBCASE("not while its I/O is frozen") {
    state.seen.resource->suspended = "fencing";
  }
  SUBCASE("not where it would be promoted first") {
    state.seen.resource->role = "Secondary";
  }
  SUBCASE("not where the store says that it is not formatted") {
    state.wanted.volume.format = model::Format::Started;
  }
  SUBCASE("not a copy that the store does not know") {
    state.wanted.volume.former = {"n1"};
    state.wanted.volume.replicas = {{"n2", true}};
    state.wanted.attachment.reset();
  }
  CHECK(cases::kinds(state.wanted, state.seen) == "Fail Conflict");
}

TEST_CASE("plan: what cannot be let go of is told, and the rest is planned [D5]") {
  State state{cases::attached(cases::mirrored(), "n1", model::Holder::Mount),
              cases::seen_mirrored("Primary")};
  state.seen.linked = true;
  state.seen.users = {cases::kPostgres};
  CHECK(cases::kinds(state.wanted, state.seen) == "Fail Unavailable");
  CHECK(cases::reason(state.wanted, state.seen).find("postgres") != std::string::npos);
  SUBCASE("a failed disk is taken out") {
    state.seen.resource->peer_disk_state = "Diskless";
    CHECK(cases::kinds(state.wanted, state.seen) == "TakeOut: n2, LookAgain");
  }
  SUBCASE("a whole peer is put back") {
    state.wanted.current->nodes = {"n1"};
    CHECK(cases::kinds(state.wanted, state.seen) == "PutBack: n2, LookAgain");
  }
  SUBCASE("what is parted is connected") {
    state.wanted.current->nodes = {"n1"};
    state.seen.resource->connection = "StandAlone";
    state.seen.resource->peer_disk_state = "DUnknown";
    CHECK(cases::kinds(state.wanted, state.seen) == "Adjust, LookAgain");
  }
}

namespace {

class NoTools : public process::Runner {
 public:
  process::Output run(const process::Command&) override { return {}; }
};

}  // namespace

TEST_CASE("apply: an action that the table marks does nothing on another set [D17]") {
  const Table table = read_table();
  CHECK(table.comparing == std::set<std::string>{"AskArbiter", "KillUsers", "LeaveSet", "PutBack",
                                                 "ReplacePeer", "TakeOut", "UseForced"});
  const std::vector<Action> marked{actions::AskArbiter{"n2"}, actions::KillUsers{},
                                   actions::LeaveSet{"n2"},   actions::PutBack{"n2"},
                                   actions::TakeOut{"n2"},    actions::UseForced{}};
  for (const Action& action : marked) {
    const std::string name = to_text(action);
    CAPTURE(name);
    ReconcilerNode<NoTools> node;
    const Tools tools{.store = node.store,
                      .arbiter = node.arbiter,
                      .pools = node.pools,
                      .drbd = node.drbd,
                      .filesystem = node.filesystem,
                      .calls = node.calls,
                      .pods = node.pod_states,
                      .jobs = node.jobs,
                      .links = Links(node.directory.path() / "links")};
    State state{cases::mirrored(), cases::seen_mirrored("Primary", "Connecting")};
    state.seen.device.reset();
    state.wanted.current->forced = {"n1", 0, "root on n3", "Diskless"};
    const auto write = [&] {
      node.store.commit(
          store::Change().put(keys::current("v"), model::to_json(*state.wanted.current)));
    };
    write();
    state.wanted.current_revision = node.store.find_current("v")->revision;
    write();  // by another agent: even the same is another set
    const auto before = node.raw.get(keys::current("v"));
    if (is<actions::PutBack>(action)) {
      apply(action, state.wanted, state.seen, tools);
    } else {
      CHECK_THROWS_AS(apply(action, state.wanted, state.seen, tools), Error);
    }
    CHECK(node.raw.get(keys::current("v"))->value == before->value);
    CHECK(node.raw.get(keys::current("v"))->revision == before->revision);

    state.wanted.current_revision = before->revision;
    apply(action, state.wanted, state.seen, tools);
    if (is<actions::KillUsers>(action)) continue;
    const auto after = node.store.find_current("v");
    CHECK(after->value.epoch == 2);
    if (is<actions::PutBack>(action)) continue;
    // What comes after it in the list goes by the set as it is now.
    CHECK(state.wanted.current_revision == after->revision);
    CHECK(state.wanted.current->nodes == after->value.nodes);
    apply(actions::KillUsers{}, state.wanted, state.seen, tools);
  }
}
