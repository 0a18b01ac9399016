// The object that says who leads. Private to agent/kube; election.h says of what kind it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/kube/client.h"

namespace plexvol::kube {

struct LockRecord {
  std::string holder;                // "": nobody
  std::chrono::seconds duration{0};  // at most an hour
  std::string acquired_at;
  std::string renewed_at;
  std::int64_t transitions = 0;
};

class Lock {
 public:
  Lock(Client& client, std::string ns, std::string name);

  struct Seen {
    LockRecord record;
    std::string record_text;  // changes with each renewal
    std::string object;       // as the server has it
  };
  // All throw as Client does. nullopt: there is none.
  std::optional<Seen> read();
  void create(const LockRecord& record);
  // Throws Conflict when the object is not the one that was seen any more.
  void replace(const Seen& seen, const LockRecord& record);

  // For acquired_at and renewed_at, as this kind of object has it.
  std::string now();

 private:
  enum class Kind { Lease, LeaseBeta, ConfigMap };

  Kind kind();
  std::string path();

  Client& client_;
  const std::string ns_;
  const std::string name_;
  std::optional<Kind> kind_;
};

}  // namespace plexvol::kube
