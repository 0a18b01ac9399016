// A store for an agent that has the right to use it.
//
// It has not while another machine goes by its node's name, or when a newer version has written
// that agents of this one may not write. Then every call throws Error(Unavailable) with the reason,
// as if the store was away, and the guard asks again until that has changed. Every transaction is
// bound to what the right rests on, so that nothing is written a moment after it was lost.
//
// It also keeps the sets of the volumes (current/) as they are once the store was seen to be older
// than before, or another one: the first agent that sees it writes store/rolled-back, and every
// transaction that changes a set requires that this key is absent, unless it names the key itself.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/store/store.h"
#include "agent/store/store_seen.h"

namespace plexvol::store {

struct Identity {
  std::string node;
  // Of the machine: the same after each start, and no other has it. "": nobody else can have this
  // store (an embedded one), or machines cannot be told apart.
  std::string machine;
  std::function<std::string()> address = [] { return ""; };  // of the machine; "" while unknown
  std::chrono::milliseconds retry{2'000};  // between two questions while it has no right
  StoreSeen* seen = nullptr;  // fed by the store inside; nullptr: that cannot be rolled back
};

// Watches and presences may outlive it; `inside` must not be destroyed before it.
class GuardedStore : public Store {
 public:
  GuardedStore(Store& inside, Identity identity);
  ~GuardedStore() override;
  GuardedStore(const GuardedStore&) = delete;
  GuardedStore& operator=(const GuardedStore&) = delete;

  std::optional<Entry> get(const std::string& key) override;
  std::vector<std::optional<Entry>> get_all(const std::vector<std::string>& keys) override;
  std::vector<Entry> list(const std::string& prefix) override;
  bool commit(const Transaction& transaction) override;
  std::unique_ptr<Watch> watch(const std::string& prefix, ChangeHandler on_change) override;
  std::unique_ptr<Presence> announce(const std::string& key, const std::string& value,
                                     std::chrono::seconds ttl,
                                     const std::vector<Condition>& conditions) override;
  std::string kind() const override { return inside_.kind(); }

  // Why no set is changed; "" as far as is known. Lags behind by up to half a minute.
  std::string rolled_back() const;

  // Why this agent may not use the store; "" when it may, and while nobody knows.
  std::string refusal() const;

  // An administrator's word that the node's name moves: the machine that has it loses it, unless
  // its agent runs (then this throws Conflict). The machine that asks for it next has it then.
  void give_name_up();

 private:
  // What the right rests on, as revisions.
  struct Right {
    std::int64_t schema = 0;
    std::int64_t machine = 0;
  };
  enum class State { Unknown, Granted, Refused };

  void run(const std::stop_token& stop);
  void ask();
  Right find_right();
  void tell_of_turn();
  void look_at_answer();
  void note_turn(const std::optional<Entry>& entry);
  std::int64_t claim_name(const std::optional<Entry>& holder, const std::optional<Entry>& alive,
                          const std::optional<Entry>& node);
  void set(State state, std::optional<Right> right, const std::string& reason);
  Right require_right();
  std::vector<Condition> conditions_of(const Right& right) const;

  Store& inside_;
  const Identity identity_;
  std::mutex ask_mutex_;  // one question at a time; taken before mutex_
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  State state_ = State::Unknown;
  Right right_;
  std::string reason_;  // why it is not granted
  std::string rolled_back_;
  bool ask_now_ = false;
  std::jthread thread_;  // last: it uses all the others
};

}  // namespace plexvol::store
