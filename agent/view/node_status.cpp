#include "agent/view/node_status.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/base/text.h"
#include "agent/view/conditions.h"

namespace plexvol::view {

namespace {

constexpr const char* kNormal = "normal";
constexpr const char* kCordoned = "cordoned";
constexpr const char* kDraining = "draining";
constexpr const char* kForgotten = "being forgotten";
constexpr const char* kPlacement = "placement";
constexpr const char* kPlacementAsked = "placementAsked";
constexpr std::size_t kMostNames = 20;

// Of all, or of none: a node that has not measured its pool yet.
unsigned percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0
             ? 0
             : static_cast<unsigned>(static_cast<double>(part) * 100 / static_cast<double>(whole));
}

// Whole percents: bytes change with every write to a thin pool.
std::string pools_text(const api::NodeInfo& node) {
  std::vector<std::string> pools;
  for (const api::PoolInfo& pool : node.pools) {
    pools.push_back(!pool.error.empty() ? fmt::format("{} FAILED", pool.name)
                                        : fmt::format("{} {}% of {} free", pool.name,
                                                      percent(pool.free_bytes, pool.total_bytes),
                                                      size_to_text(pool.total_bytes)));
  }
  return base::join(pools);
}

Json pools_json(const api::NodeInfo& node) {
  Json pools = Json::array();
  for (const api::PoolInfo& pool : node.pools) {
    Json json = {{"name", pool.name},
                 {"type", pool.type},
                 {"sizeBytes", pool.total_bytes},
                 {"freePercent", percent(pool.free_bytes, pool.total_bytes)},
                 {"promisedBytes", pool.promised_bytes}};
    if (!pool.error.empty()) json["error"] = one_line(pool.error);
    pools.push_back(std::move(json));
  }
  return pools;
}

Condition readiness(const api::NodeInfo& node) {
  return node.alive ? Condition{"Ready", "True", "AgentUp", ""}
                    : Condition{"Ready", "False", "AgentDown",
                                "its agent has lost its lease: it is down, or cut off from etcd"};
}

Condition drained(const NodeFacts& facts) {
  constexpr const char* kType = "Drained";
  if (facts.volumes.empty()) return {kType, "True", "Empty", "it has no copy of a volume"};
  const bool is_long = facts.volumes.size() > kMostNames;
  const std::vector<std::string> names(
      facts.volumes.begin(), facts.volumes.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                         facts.volumes.size(), kMostNames)));
  return {kType, "False", "CopiesLeft",
          fmt::format("{} still to be moved: {}{}; plexvol node drain {} says why",
                      facts.volumes.size(), base::join(names), is_long ? ", ..." : "",
                      facts.node.name)};
}

}  // namespace

std::string placement_of(const api::NodeInfo& node) {
  return node.cordon.empty() ? kNormal : node.cordon;
}

std::string node_status(const NodeFacts& facts, const std::string& asked,
                        const std::optional<Answer>& answer, const std::string& before,
                        std::int64_t now) {
  const api::NodeInfo& node = facts.node;
  Json status = {{"state", node.alive ? "Up" : "Down"},
                 {kPlacement, placement_of(node)},
                 {kPlacementAsked, asked},
                 {"address", node.address},
                 {"version", node.version},
                 {"drbdVersion", node.drbd_version},
                 {"poolsText", pools_text(node)},
                 {"pools", pools_json(node)},
                 {"volumes", facts.volumes.size()}};
  const Json known = parse_status(before);
  add_condition(status, known, readiness(node), now);
  if (placement_of(node) == kDraining) add_condition(status, known, drained(facts), now);
  if (answer) {
    add_condition(status, known,
                  {kRequestDone, answer->done ? "True" : "False", answer->done ? "Done" : "Refused",
                   one_line(answer->message)},
                  now);
  } else {
    keep_condition(status, known, kRequestDone);
  }
  return status.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string placement_to_begin_with(const api::NodeInfo& node) {
  return placement_of(node) == kForgotten ? kNormal : placement_of(node);
}

std::string placement_in_spec(const std::string& spec) {
  return word(parse_status(spec), kPlacement);
}

std::string placement_asked(const std::string& status) {
  return word(parse_status(status), kPlacementAsked);
}

Wish find_wish(const std::string& spec, const std::string& status, const api::NodeInfo& node) {
  const std::string wanted = placement_in_spec(spec);
  const std::string asked = placement_asked(status);
  const std::string is = placement_of(node);
  // An object without a status is one that is being made: what its spec says may be old by now.
  const bool is_request = !wanted.empty() && !asked.empty() && wanted != asked;
  if (is_request && wanted != is) return {Wish::Kind::Change, wanted};
  if (wanted != is && is != kForgotten) return {Wish::Kind::FollowUp, is};
  return {};
}

std::vector<std::string> actions_for(const std::string& placement, const api::NodeInfo& node) {
  if (placement == kNormal) return {"uncordon"};
  if (placement_of(node) == kForgotten) {
    throw Error(ErrorCode::Conflict,
                fmt::format("node {} is being forgotten: only normal can be asked for", node.name));
  }
  if (placement == kDraining) return {"drain"};
  if (placement != kCordoned) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("placement is {}: it must be normal, cordoned or draining",
                            in_quotes(placement)));
  }
  // To cordon a node that is being drained would leave it so.
  if (placement_of(node) == kDraining) return {"uncordon", "cordon"};
  return {"cordon"};
}

}  // namespace plexvol::view
