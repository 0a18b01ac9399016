#include "agent/controller/volume_events.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/api/text.h"
#include "agent/base/text.h"
#include "agent/controller/pv_events.h"
#include "agent/controller/volume_of.h"
#include "agent/view/volume_health.h"

namespace plexvol::controller {

namespace {

using kube::EventType;
using view::find_health;
using view::find_whole_copies;
using view::quote_error;
using view::VolumeHealth;
using State = VolumeHealth::State;

constexpr const char* kUnavailable = "VolumeUnavailable";

bool is_same_trouble(const VolumeHealth& a, const VolumeHealth& b) {
  return a.state == b.state && a.what == b.what && a.why == b.why;
}

VolumeEvent tell_trouble(const VolumeHealth& health) {
  const bool has_time = health.state == State::Degraded && health.since != 0;
  const std::string since = has_time ? " since " + time_to_text(health.since) : "";
  return {.type = EventType::Warning,
          .reason = health.state == State::Unavailable ? kUnavailable : "VolumeDegraded",
          .message = fmt::format("{}{}: {}", health.what, since, health.why)};
}

VolumeEvent tell_recovery(const api::VolumeInfo& volume, const VolumeHealth& before) {
  std::string text = volume.replicas.size() == 1
                         ? "its only copy can be used again"
                         : fmt::format("all {} copies are in sync again", volume.replicas.size());
  if (before.since != 0) text += fmt::format(" (degraded since {})", time_to_text(before.since));
  return {.type = EventType::Normal, .reason = "VolumeHealthy", .message = std::move(text)};
}

// What the agents say that run, but for what is told as part of the trouble. By node.
std::map<std::string, std::string> list_errors(const api::VolumeInfo& volume,
                                               const VolumeHealth& health) {
  std::map<std::string, std::string> errors;
  for (const api::ReplicaInfo& replica : volume.replicas) {
    if (!replica.alive || replica.error.empty() || health.quoted.contains(replica.node)) continue;
    errors[replica.node] = quote_error(replica.error);
  }
  return errors;
}

std::vector<std::string> subtract(const std::set<std::string>& from,
                                  const std::set<std::string>& what) {
  std::vector<std::string> rest;
  std::ranges::set_difference(from, what, std::back_inserter(rest));
  return rest;
}

std::string copies_on(const std::vector<std::string>& nodes) {
  return fmt::format("{} on {}", nodes.size() == 1 ? "a copy is now" : "copies are now",
                     base::join(nodes, " and "));
}

}  // namespace

std::vector<VolumeEvent> compare(const std::optional<api::VolumeInfo>& before,
                                 const api::VolumeInfo& now) {
  std::vector<VolumeEvent> events;
  const VolumeHealth health = find_health(now);
  if (health.state == State::Unknown) return events;
  const VolumeHealth was = before ? find_health(*before) : VolumeHealth{};
  if (health.is_bad() && !is_same_trouble(was, health)) events.push_back(tell_trouble(health));
  if (!health.is_bad() && was.is_bad()) events.push_back(tell_recovery(now, was));
  const auto told = before ? list_errors(*before, was) : std::map<std::string, std::string>{};
  for (const auto& [node, error] : list_errors(now, health)) {
    const auto found = told.find(node);
    if (found != told.end() && found->second == error) continue;
    events.push_back({.type = EventType::Warning,
                      .reason = "VolumeError",
                      .message = fmt::format("the agent on {}: {}", node, error)});
  }
  return events;
}

std::optional<VolumeEvent> find_move(const std::set<std::string>& home,
                                     const api::VolumeInfo& now) {
  const std::set<std::string> whole = find_whole_copies(now);
  if (home.empty() || whole.empty() || home == whole) return std::nullopt;
  const std::vector<std::string> joined = subtract(whole, home);
  const std::vector<std::string> left = subtract(home, whole);
  const std::string gone = base::join(left, " and ");
  std::string text;
  if (joined.empty()) {
    text = fmt::format("no copy is on {} any longer", gone);
  } else {
    text = copies_on(joined) + (left.empty() ? "" : " instead of " + gone);
  }
  return VolumeEvent{.type = EventType::Normal, .reason = "CopyMoved", .message = std::move(text)};
}

std::vector<VolumeEvent> VolumeStory::learn(const api::VolumeInfo& now,
                                            base::Clock::time_point at) {
  if (find_health(now).state == State::Unknown) {
    trouble_since_.reset();
    return {};
  }
  std::vector<VolumeEvent> events = compare(told_, now);
  if (auto move = find_move(home_, now)) events.push_back(std::move(*move));
  const bool warns = std::ranges::any_of(
      events, [](const VolumeEvent& event) { return event.type == EventType::Warning; });
  if (warns) {
    if (!trouble_since_) trouble_since_ = at;
    const bool is_urgent = std::ranges::any_of(
        events, [](const VolumeEvent& event) { return event.reason == kUnavailable; });
    const bool may_warn = is_urgent || !warned_at_ || at - *warned_at_ >= kBetween;
    if (at - *trouble_since_ < kSettle || !may_warn) return {};
    warned_at_ = at;
  }
  trouble_since_.reset();
  told_ = now;
  if (auto whole = find_whole_copies(now); !whole.empty()) home_ = std::move(whole);
  return events;
}

void VolumeEvents::look(const KnownVolumes::ByName& volumes, base::Clock::time_point at) {
  std::multimap<std::string, kube::Cache<kube::PersistentVolume>::Object> owners;
  for (const auto& owner : parts_.volumes.all()) {
    if (const std::string name = volume_of(*owner); !name.empty()) owners.emplace(name, owner);
  }
  std::erase_if(stories_, [&](const auto& story) {
    return !owners.contains(story.first) || !volumes.contains(story.first);
  });
  is_waiting_ = false;
  int told = 0;
  for (const auto& [name, volume] : volumes) {
    const auto [first, last] = owners.equal_range(name);
    if (first == last) continue;
    if (told >= kMostVolumesPerLook) {
      is_waiting_ = true;
      return;
    }
    VolumeStory& story = stories_[name];
    const std::vector<VolumeEvent> events = story.learn(volume, at);
    if (story.is_waiting()) is_waiting_ = true;
    if (!events.empty()) ++told;
    for (auto owner = first; owner != last; ++owner) {
      for (const VolumeEvent& event : events) {
        tell_pv(parts_.events, *owner->second, event.type, event.reason, event.message);
      }
    }
  }
}

}  // namespace plexvol::controller
