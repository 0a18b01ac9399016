// Tells the store what this node acted on, once the store is known to be older than that, or
// another one (store/rolled-back): `plexvol store repair` reads it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "agent/store/acted.h"
#include "agent/store/typed_store.h"

namespace plexvol::store {

class ActedReport {
 public:
  ActedReport(TypedStore& store, ActedSets& acted, std::string here);
  ~ActedReport();
  ActedReport(const ActedReport&) = delete;
  ActedReport& operator=(const ActedReport&) = delete;

  // The store contradicts what this node acted on of the volume. It is looked at once more before
  // anybody is told. Does not block, and may be called again and again.
  void contradicted(const std::string& volume);

 private:
  void run(const std::stop_token& stop);
  bool try_look();  // false: again in a moment
  void look();
  void tell_of(const std::string& name);
  void tell(const std::string& why, Change change);
  void look_for_empty_store();
  void publish(const Versioned<model::RolledBack>& turned);
  void take_back();

  TypedStore& store_;
  ActedSets& acted_;
  const std::string here_;
  bool has_looked_ = false;
  bool has_published_ = true;  // or a former life of this agent
  std::string said_;           // why the last attempt failed
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool woken_ = true;
  std::set<std::string> contradicted_;  // volumes
  std::unique_ptr<Watch> watch_;
  std::jthread thread_;  // last: it uses all the others
};

}  // namespace plexvol::store
