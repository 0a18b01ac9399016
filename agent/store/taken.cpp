#include "agent/store/taken.h"

#include <nlohmann/json.hpp>

namespace plexvol::store {

std::string keys::taken(const std::string& node) {
  return "taken/" + node;
}

Taken find_taken(TypedStore& store, const std::string& node) {
  const auto entry = store.raw().get(keys::taken(node));
  if (!entry) return {};
  try {
    const auto json = nlohmann::json::parse(entry->value);
    return {.minors = json.value("minors", std::set<unsigned>{}),
            .ports = json.value("ports", std::set<std::uint16_t>{})};
  } catch (const nlohmann::json::exception&) {
    return {};
  }
}

void put_taken(TypedStore& store, const std::string& node, const Taken& taken) {
  if (find_taken(store, node) == taken) return;
  const nlohmann::json json{{"minors", taken.minors}, {"ports", taken.ports}};
  store.commit(Change().put(keys::taken(node), json.dump()));
}

std::set<unsigned> list_taken_slots(TypedStore& store, const std::vector<std::string>& nodes,
                                    unsigned first_port) {
  std::set<unsigned> slots;
  for (const std::string& node : nodes) {
    const Taken taken = find_taken(store, node);
    for (const unsigned minor : taken.minors) {
      if (minor >= model::kFirstMinor) slots.insert(minor - model::kFirstMinor);
    }
    for (const unsigned port : taken.ports) {
      if (port >= first_port) slots.insert(port - first_port);
    }
  }
  return slots;
}

}  // namespace plexvol::store
