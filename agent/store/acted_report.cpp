#include "agent/store/acted_report.h"

#include <fmt/core.h>

#include <chrono>
#include <ctime>
#include <exception>
#include <map>
#include <utility>

#include "agent/log.h"
#include "agent/model/codec.h"

namespace plexvol::store {

namespace {

constexpr std::chrono::seconds kRetry{2};
constexpr std::chrono::seconds kInterval{60};

}  // namespace

ActedReport::ActedReport(TypedStore& store, ActedSets& acted, std::string here)
    : store_(store), acted_(acted), here_(std::move(here)) {
  watch_ = store_.raw().watch(keys::rolled_back(), [this](const std::string&) {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_all();
  });
  // Before a volume can be made again in an embedded store that was lost. Of another etcd the
  // guard knows with its first answer.
  if (store_.raw().kind() == "embedded") try_look();
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

ActedReport::~ActedReport() {
  watch_.reset();
}

void ActedReport::contradicted(const std::string& volume) {
  const std::lock_guard lock(mutex_);
  if (!contradicted_.insert(volume).second) return;
  woken_ = true;
  changed_.notify_all();
}

void ActedReport::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const bool is_done = try_look();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, is_done ? kInterval : kRetry, [this] { return woken_; });
    woken_ = false;
  }
}

bool ActedReport::try_look() {
  try {
    look();
    said_.clear();
    return true;
  } catch (const std::exception& error) {
    if (said_ != error.what()) log::info(error.what());
    said_ = error.what();
    return false;
  }
}

void ActedReport::look() {
  std::set<std::string> volumes;
  {
    const std::lock_guard lock(mutex_);
    volumes.swap(contradicted_);  // who is not told of now comes again with the volume's next pass
  }
  for (const std::string& volume : volumes) tell_of(volume);
  if (!has_looked_) look_for_empty_store();
  const auto turned = store_.find_rolled_back();
  turned ? publish(*turned) : take_back();
}

// The set may have been repaired since then: so it must still be the one that contradicts.
void ActedReport::tell_of(const std::string& name) {
  const auto volume = store_.find_volume(name);
  if (!volume) return;
  const auto acted = acted_.find(volume->value.id);
  if (!acted) return;
  const auto current = store_.find_current(name);
  const std::string why = model::find_contradiction(
      *acted, volume->value, current ? std::optional(current->value) : std::nullopt);
  if (why.empty()) return;
  tell(fmt::format("volume {}: {}", name, why),
       Change()
           .require(keys::volume(name), volume->revision)
           .require(keys::current(name), current ? current->revision : 0));
}

void ActedReport::tell(const std::string& why, Change change) {
  const std::string key = keys::rolled_back();
  const model::RolledBack turned{.node = here_, .at = std::time(nullptr), .what = why};
  if (store_.commit(change.require(key, 0).put(key, model::to_json(turned)))) {
    log::error("the store was rolled back or replaced: " + why);
  }
}

// A node with replicas has used a store that knew them.
void ActedReport::look_for_empty_store() {
  const auto acted = acted_.list();
  if (!acted.empty() && store_.raw().list(keys::volume("")).empty()) {
    tell(fmt::format("the store knows no volume, but {} has replicas of {}", here_, acted.size()),
         {});
  }
  has_looked_ = true;
}

// All first, and last that it was all.
void ActedReport::publish(const Versioned<model::RolledBack>& turned) {
  has_published_ = true;
  std::map<std::string, std::string> wanted;
  for (const model::Acted& acted : acted_.list()) {
    wanted[keys::acted(here_, acted.volume_id)] = model::to_json(acted);
  }
  const std::string all = keys::acted_all(here_);
  const std::string revision = std::to_string(turned.revision);
  for (const Entry& entry : store_.raw().list(keys::acted_prefix(here_))) {
    const auto found = wanted.find(entry.key);
    if (found == wanted.end()) {
      store_.commit(Change().remove(entry.key));
    } else if (found->second == entry.value) {
      wanted.erase(found);
    }
  }
  const auto said = store_.raw().get(all);
  if (wanted.empty() && said && said->value == revision) return;
  for (const auto& [key, value] : wanted) store_.commit(Change().put(key, value));
  store_.commit(Change().require(keys::rolled_back(), turned.revision).put(all, revision));
}

void ActedReport::take_back() {
  if (!has_published_) return;
  const std::string all = keys::acted_all(here_);
  for (const Entry& entry : store_.raw().list(keys::acted_prefix(here_))) {
    store_.commit(Change().remove(entry.key));
  }
  if (store_.raw().get(all)) store_.commit(Change().remove(all));
  has_published_ = false;
}

}  // namespace plexvol::store
