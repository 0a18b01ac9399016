#include "agent/placement/placement.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/api/names.h"
#include "agent/base/text.h"
#include "agent/base/version.h"

namespace plexvol::placement {

namespace {

std::string list_or_none(const std::vector<std::string>& words) {
  return words.empty() ? "none" : base::join(words);
}

std::string list_names(const std::vector<model::Node>& nodes) {
  std::vector<std::string> names;
  names.reserve(nodes.size());
  for (const model::Node& node : nodes) names.push_back(node.name);
  return list_or_none(names);
}

std::string choose_pool(const PlacementRequest& request, const std::vector<model::Node>& nodes) {
  std::set<std::string> names;
  for (const model::Node& node : nodes) {
    for (const model::Pool& pool : node.pools) names.insert(pool.name);
  }
  const std::vector<std::string> known(names.begin(), names.end());
  if (!request.pool.empty()) {
    if (names.contains(request.pool)) return request.pool;
    throw Error(ErrorCode::NotFound, fmt::format("no node has a pool named {}; there are: {}",
                                                 request.pool, list_or_none(known)));
  }
  if (names.size() == 1) return known.front();
  if (names.contains("default")) return "default";
  throw Error(ErrorCode::InvalidArgument,
              fmt::format("no pool was named; there are: {}; name one, or call one \"default\"",
                          list_or_none(known)));
}

// "8" of "8.4.11".
std::string generation_of(const std::string& drbd_version) {
  return drbd_version.substr(0, drbd_version.find('.'));
}

// `other`: of the node of the other copy; "": none yet. "" when the two can be copies of one volume.
std::string why_other_generation(const model::Node& node, const std::string& other) {
  if (other.empty() || generation_of(node.drbd_version) == generation_of(other)) return "";
  return fmt::format("its DRBD is {}, but that of the other replica's node is {}",
                     node.drbd_version, other);
}

std::uint64_t difference(std::uint64_t from, std::uint64_t bytes) {
  return from - std::min(from, bytes);
}

Promise find_promise(const PlacementRequest& request, const std::string& node,
                     const std::string& pool) {
  const auto promises = request.promised.find(node);
  if (promises == request.promised.end()) return {};
  const auto promise = promises->second.find(pool);
  return promise == promises->second.end() ? Promise{} : promise->second;
}

// What no volume has and none was promised. Free space was measured up to half a minute ago: what
// was made since then is in the promises alone.
std::uint64_t room_of(const model::Pool& pool, const Promise& promise) {
  const std::uint64_t free = difference(pool.free_bytes, promise.unmade_bytes);
  // Others fill up as they are written to: what is promised there is free all the same.
  if (pool.type != "lvm" || promise.bytes == 0) return free;
  return std::min(free, difference(pool.total_bytes, promise.bytes));
}

// Why the pool has no room for a copy; "" when it has.
std::string why_no_room(const model::Pool& pool, const PlacementRequest& request,
                        const Promise& promise) {
  const std::uint64_t needed = needed_bytes(request.size_bytes, request.mirrored);
  const std::uint64_t free = pool.type == "lvm" ? room_of(pool, promise) : pool.free_bytes;
  if (free < needed) {
    const bool waits = promise.unmade_bytes > 0 && free < pool.free_bytes;
    return fmt::format("its pool {} has only {} free{}", pool.name, size_to_text(free),
                       waits ? " besides what is promised to volumes that are being created" : "");
  }
  if (pool.max_promised_percent == 0) return "";
  const double limit =
      static_cast<double>(pool.total_bytes) / 100 * static_cast<double>(pool.max_promised_percent);
  if (static_cast<double>(promise.bytes) + static_cast<double>(needed) <= limit) return "";
  return fmt::format(
      "{} of its pool {} is already promised to volumes ({} of {}), and max_promised_percent is {}",
      percent_text(promise.bytes, pool.total_bytes), pool.name, size_to_text(promise.bytes),
      size_to_text(pool.total_bytes), pool.max_promised_percent);
}

// Why this node cannot take a replica; "" when it can.
std::string why_not(const model::Node& node, const PlacementRequest& request,
                    const std::string& pool_name, const std::set<std::string>& alive) {
  if (const auto barred = request.barred.find(node.name); barred != request.barred.end()) {
    return barred->second;
  }
  if (!alive.contains(node.name)) return "its agent is not running";
  const model::Pool* pool = node.find_pool(pool_name);
  if (pool == nullptr) return "it has no pool " + pool_name;
  if (!pool->error.empty())
    return fmt::format("its pool {} has a fault: {}", pool_name, pool->error);
  if (request.mirrored) {
    if (!node.mirror_error.empty()) return node.mirror_error;
    if (std::string reason = why_no_mirror(node.drbd_version); !reason.empty()) return reason;
    if (node.address.empty()) return "it has no address for replication";
    std::string reason = why_other_generation(node, request.drbd);
    if (!reason.empty()) return reason;
  }
  return why_no_room(*pool, request, find_promise(request, node.name, pool_name));
}

// Throws unless the node that must have a copy can have one.
void check_first_node(const PlacementRequest& request, const std::vector<model::Node>& nodes,
                      const std::set<std::string>& alive, const std::string& pool) {
  if (request.first_node.empty()) return;
  const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const auto& node) {
    return node.name == request.first_node;
  });
  const std::string reason =
      found == nodes.end()
          ? fmt::format("no node of this name is known; there are: {}", list_names(nodes))
          : why_not(*found, request, pool, alive);
  if (reason.empty()) return;
  throw Error(ErrorCode::OutOfSpace, fmt::format("node {} cannot have a copy of volume {}: {}",
                                                 request.first_node, request.volume, reason));
}

const model::Node& find_node(const std::vector<model::Node>& nodes, const std::string& name) {
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [&](const auto& node) { return node.name == name; });
  if (found != nodes.end()) return *found;
  throw Error(ErrorCode::NotFound,
              fmt::format("no node named {}; there are: {}", name, list_names(nodes)));
}

Placement place_on_named(PlacementRequest request, const std::vector<model::Node>& nodes,
                         const std::set<std::string>& alive, const std::string& pool) {
  if (request.nodes.size() != request.replicas) {
    throw Error(ErrorCode::InvalidArgument, fmt::format("{} replicas, but {} nodes are named",
                                                        request.replicas, request.nodes.size()));
  }
  if (std::set<std::string>(request.nodes.begin(), request.nodes.end()).size() !=
      request.nodes.size()) {
    throw Error(ErrorCode::InvalidArgument, "the same node is named twice");
  }
  for (const std::string& name : request.nodes) {
    const model::Node& node = find_node(nodes, name);
    const std::string reason = why_not(node, request, pool, alive);
    if (request.drbd.empty()) request.drbd = node.drbd_version;
    if (reason.empty()) continue;
    const ErrorCode code = alive.contains(name) ? ErrorCode::OutOfSpace : ErrorCode::Unavailable;
    throw Error(code, fmt::format("node {} cannot take a replica of {}: {}", name,
                                  size_to_text(request.size_bytes), reason));
  }
  return {.pool = pool, .nodes = request.nodes};
}

// Why nodes cannot have a copy. Those with one reason are told together: a cluster has many nodes,
// and an event of Kubernetes 1024 bytes.
class Reasons {
 public:
  void add(const std::string& node, const std::string& reason) {
    const auto known = std::find_if(reasons_.begin(), reasons_.end(),
                                    [&](const auto& entry) { return entry.first == reason; });
    if (known == reasons_.end()) {
      reasons_.push_back({reason, {node}});
    } else {
      known->second.push_back(node);
    }
  }
  std::string to_text() const {
    std::string text;
    for (const auto& [reason, nodes] : reasons_) {
      text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", base::join(nodes), reason);
    }
    return text;
  }

 private:
  std::vector<std::pair<std::string, std::vector<std::string>>> reasons_;
};

// All copies of one volume are of one generation of DRBD: the first one that enough nodes have, or
// that of the node that must have a copy. `able` is in the order of preference.
std::vector<const model::Node*> choose_generation(const PlacementRequest& request,
                                                  const std::vector<const model::Node*>& able,
                                                  Reasons& reasons) {
  const auto alike = [&](const model::Node* lead) {
    std::vector<const model::Node*> found;
    std::copy_if(able.begin(), able.end(), std::back_inserter(found), [&](const auto* node) {
      return why_other_generation(*node, lead->drbd_version).empty();
    });
    return found;
  };
  for (const model::Node* lead : able) {
    auto found = alike(lead);
    if (found.size() >= request.replicas) return found;
    if (!request.first_node.empty()) break;
  }
  if (able.empty()) return able;
  for (const model::Node* node : able) {
    const std::string reason = why_other_generation(*node, able.front()->drbd_version);
    if (!reason.empty()) reasons.add(node->name, reason);
  }
  return alike(able.front());
}

// What it has asked stays in the request.
Placement place_asking(PlacementRequest& request, const std::vector<model::Node>& nodes,
                       const std::set<std::string>& alive,
                       const std::function<Promises(const std::string& node)>& ask) {
  while (true) {
    Placement placement = place(request, nodes, alive);
    bool all_known = true;
    for (const std::string& node : placement.nodes) {
      if (request.promised.contains(node)) continue;
      all_known = false;
      request.promised[node] = ask(node);
    }
    if (all_known) return placement;
  }
}

// Throws Unavailable when the copies find no room with any other first node either.
void check_without_first_node(PlacementRequest request, const std::vector<model::Node>& nodes,
                              const std::set<std::string>& alive,
                              const std::function<Promises(const std::string& node)>& ask) {
  request.first_node.clear();
  try {
    place_asking(request, nodes, alive, ask);
  } catch (const Error& error) {
    throw Error(ErrorCode::Unavailable, error.what());
  }
}

}  // namespace

std::string why_no_mirror(const std::string& drbd_version) {
  if (drbd_version.empty()) return "its kernel module drbd is not loaded";
  constexpr base::Version kIgnoresLateAnswers{8, 4, 4};
  if (base::parse_version(drbd_version) >= kIgnoresLateAnswers) return "";
  return fmt::format("its drbd module is {}, but two replicas need 8.4.4 or later", drbd_version);
}

Placement place(const PlacementRequest& request, const std::vector<model::Node>& nodes,
                const std::set<std::string>& alive) {
  const std::string pool = choose_pool(request, nodes);
  check_first_node(request, nodes, alive, pool);
  if (!request.nodes.empty()) return place_on_named(request, nodes, alive, pool);

  Reasons reasons;
  std::vector<const model::Node*> able;
  for (const model::Node& node : nodes) {
    const std::string reason = why_not(node, request, pool, alive);
    if (reason.empty()) {
      able.push_back(&node);
    } else {
      reasons.add(node.name, reason);
    }
  }
  std::sort(able.begin(), able.end(), [&](const model::Node* a, const model::Node* b) {
    for (const std::string& first : {request.first_node, request.asking}) {
      if ((a->name == first) != (b->name == first)) return a->name == first;
    }
    const std::uint64_t a_free = room_of(*a->find_pool(pool), find_promise(request, a->name, pool));
    const std::uint64_t b_free = room_of(*b->find_pool(pool), find_promise(request, b->name, pool));
    return a_free != b_free ? a_free > b_free : a->name < b->name;
  });
  if (request.mirrored && request.drbd.empty()) able = choose_generation(request, able, reasons);
  if (able.size() < request.replicas) {
    throw Error(ErrorCode::OutOfSpace,
                fmt::format("{} can take a replica of {} in pool {} ({})",
                            able.empty() ? "no node"
                                         : fmt::format("only {} of the {} nodes needed",
                                                       able.size(), request.replicas),
                            size_to_text(request.size_bytes), pool, reasons.to_text()));
  }
  Placement placement{.pool = pool, .nodes = {}};
  for (unsigned i = 0; i < request.replicas; ++i) placement.nodes.push_back(able[i]->name);
  return placement;
}

Placement place_within_promises(PlacementRequest request, const std::vector<model::Node>& nodes,
                                const std::set<std::string>& alive,
                                const std::function<Promises(const std::string& node)>& ask) {
  try {
    return place_asking(request, nodes, alive, ask);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::OutOfSpace || request.first_node.empty()) throw;
    check_without_first_node(request, nodes, alive, ask);
    throw;
  }
}

std::map<std::string, std::string> bar_for_another(
    const model::Volume& volume, const std::map<std::string, model::Cordon>& cordons) {
  auto barred = bar_cordoned(cordons);
  for (const std::string& node : volume.former) barred[node] = "its former replica is still there";
  for (const std::string& node : volume.nodes()) barred[node] = "it already has a replica";
  return barred;
}

std::map<std::string, std::string> bar_cordoned(
    const std::map<std::string, model::Cordon>& cordons) {
  std::map<std::string, std::string> barred;
  for (const auto& [node, cordon] : cordons) {
    barred[node] = fmt::format("it is {}", cordon.forget  ? "being forgotten"
                                           : cordon.drain ? "being drained"
                                                          : "cordoned");
  }
  return barred;
}

}  // namespace plexvol::placement
