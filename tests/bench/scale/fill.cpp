#include "tests/bench/scale/fill.h"

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>

#include "agent/model/codec.h"
#include "agent/store/typed_store.h"

namespace plexvol::scale {

namespace {

namespace keys = store::keys;

constexpr std::size_t kMostWrites = 64;  // of one transaction: store.h

// Collects writes until a transaction is full.
class Writer {
 public:
  explicit Writer(store::Store& store) : store_(store) {}

  void add(const store::Change& change) {
    const auto& writes = change.transaction().writes;
    if (collected_.writes.size() + writes.size() > kMostWrites) flush();
    collected_.writes.insert(collected_.writes.end(), writes.begin(), writes.end());
  }

  void flush() {
    if (!collected_.writes.empty()) store_.commit(std::exchange(collected_, {}));
  }

 private:
  store::Store& store_;
  store::Transaction collected_;
};

store::Change make(const model::Volume& volume) {
  store::Change change;
  change.put(keys::volume(volume.name), model::to_json(volume))
      .put(keys::current(volume.name), model::to_json(current_of(volume)))
      .wake(volume);
  for (const std::string& node : volume.nodes()) {
    change.put(keys::status(node, volume.name), model::to_json(status_of(volume, node)));
  }
  if (volume.mirrored()) change.put(keys::slot(volume.minor - model::kFirstMinor), volume.name);
  return change;
}

void change_one(store::TypedStore& store, const std::string& name) {
  const auto volume = store.find_volume(name);
  if (!volume) throw std::runtime_error(name + " is not in the store");
  const std::string key = keys::volume(name);
  const bool done = store.commit(store::Change()
                                     .require(key, volume->revision)
                                     .put(key, model::to_json(volume->value))
                                     .wake(volume->value));
  if (!done) throw std::runtime_error(name + " was changed by somebody else");
}

}  // namespace

void fill(store::Store& store, const Landscape& landscape) {
  Writer writer(store);
  for (unsigned node = 0; node < landscape.nodes(); ++node) {
    const std::string name = node_name(node);
    writer.add(store::Change().put(keys::node(name), model::to_json(node_entry(name))));
    for (const model::Volume& volume : landscape.begun_on(node)) writer.add(make(volume));
  }
  writer.flush();
}

void change(store::Store& store, const Landscape& landscape, unsigned count,
            std::chrono::milliseconds time) {
  constexpr unsigned kVolumes = kMirrored + kAlone;
  store::TypedStore typed(store);
  auto next = std::chrono::steady_clock::now();
  for (unsigned number = 0; number < count; ++number) {
    const unsigned node = number * landscape.nodes() / count;
    // A step that meets all places alike, mirrored and not, in a few turns.
    const unsigned place = number * 13 % kVolumes;
    change_one(typed, landscape.begun_on(node).at(place).name);
    next += time / count;
    std::this_thread::sleep_until(next);
  }
}

void cordon(store::Store& store, const std::string& node) {
  store.commit(
      store::Change().put(keys::cordon(node), model::to_json(model::Cordon{})).transaction());
}

}  // namespace plexvol::scale
