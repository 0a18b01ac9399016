#include "agent/controller/volume_events.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/paths.h"
#include "tests/support/copies.h"
#include "tests/unit/controller/event_server.h"

namespace plexvol::controller {

using support::begin_resync;
using support::good_volume;
using support::lose_node;
using support::take_out;

namespace {

using std::chrono::seconds;

constexpr std::int64_t kNewYear = 1767225600;
const base::Clock::time_point kBegin{std::chrono::hours(100)};

// "Warning VolumeDegraded: one of 2 ..."
std::vector<std::string> to_lines(const std::vector<VolumeEvent>& events) {
  std::vector<std::string> lines;
  for (const VolumeEvent& event : events) {
    lines.push_back((event.type == kube::EventType::Warning ? "Warning " : "Normal ") +
                    event.reason + ": " + event.message);
  }
  return lines;
}

using Lines = std::vector<std::string>;

api::VolumeInfo without_n1() {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  lose_node(volume, 0);
  take_out(volume, 0, kNewYear);
  return volume;
}

const std::string kN1Down =
    "Warning VolumeDegraded: one of 2 copies is missing since 2026-01-01T00:00:00Z: node n1 is "
    "down";
const std::string kWholeAgain =
    "Normal VolumeHealthy: all 2 copies are in sync again (degraded since 2026-01-01T00:00:00Z)";

}  // namespace

TEST_CASE("volume events: a new leader tells what is wrong, and never that all is well") {
  CHECK(compare(std::nullopt, good_volume("v", {"n1", "n2"})).empty());
  CHECK(to_lines(compare(std::nullopt, without_n1())) == Lines{kN1Down});
}

TEST_CASE("volume events: degraded, resynced, healthy") {
  const api::VolumeInfo good = good_volume("v", {"n1", "n2"});
  const api::VolumeInfo bad = without_n1();
  CHECK(to_lines(compare(good, bad)) == Lines{kN1Down});
  CHECK(compare(bad, bad).empty());
  api::VolumeInfo resync = bad;
  begin_resync(resync, 0);
  CHECK(to_lines(compare(bad, resync)) ==
        Lines{"Warning VolumeDegraded: one of 2 copies is missing since 2026-01-01T00:00:00Z: the "
              "copy on n1 is being resynced"});
  api::VolumeInfo later = resync;
  later.replicas[0].synced_percent = 80;
  CHECK(compare(resync, later).empty());
  CHECK(to_lines(compare(later, good)) == Lines{kWholeAgain});
  CHECK(compare(good, good).empty());
}

TEST_CASE("volume events: that the time is known now is no news") {
  api::VolumeInfo before = good_volume("v", {"n1", "n2"});
  lose_node(before, 0);
  CHECK(compare(before, without_n1()).empty());
}

TEST_CASE("volume events: unavailable and back") {
  const api::VolumeInfo good = good_volume("v", {"n1"});
  api::VolumeInfo gone = good;
  lose_node(gone, 0);
  CHECK(
      to_lines(compare(good, gone)) ==
      Lines{"Warning VolumeUnavailable: no copy can be used: node n1 is down, or its agent is not "
            "running; start n1 and its agent"});
  CHECK(to_lines(compare(gone, good)) ==
        Lines{"Normal VolumeHealthy: its only copy can be used again"});
  // Still not whole: other trouble.
  api::VolumeInfo both = without_n1();
  lose_node(both, 1);
  CHECK(to_lines(compare(both, without_n1())) == Lines{kN1Down});
}

TEST_CASE("volume events: what an agent could not do, once for each text") {
  const api::VolumeInfo good = good_volume("v", {"n1", "n2"});
  api::VolumeInfo failing = good;
  failing.replicas[1].error = "volume v: fsck failed";
  const Lines told{"Warning VolumeError: the agent on n2: volume v: fsck failed"};
  CHECK(to_lines(compare(good, failing)) == told);
  CHECK(to_lines(compare(std::nullopt, failing)) == told);
  CHECK(compare(failing, failing).empty());
  api::VolumeInfo other = failing;
  other.replicas[1].error = "volume v: mkfs failed";
  CHECK(compare(failing, other).size() == 1);
  CHECK(compare(failing, good).empty());
}

TEST_CASE("volume events: an error that is part of the trouble is told once") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  take_out(volume, 0, kNewYear);
  volume.replicas[0].disk_state = "Failed";
  volume.replicas[0].error = "volume v: the disk has just failed";
  CHECK(to_lines(compare(good_volume("v", {"n1", "n2"}), volume)) ==
        Lines{"Warning VolumeDegraded: one of 2 copies is missing since 2026-01-01T00:00:00Z: the "
              "disk of the copy on n1 has failed: volume v: the disk has just failed"});
}

TEST_CASE("volume events: none of a volume that comes or goes") {
  for (const std::string state : {"Creating", "Unreadable"}) {
    api::VolumeInfo volume = without_n1();
    volume.state = state;
    volume.replicas[1].error = "no room";
    CHECK(compare(std::nullopt, volume).empty());
  }
  api::VolumeInfo volume = without_n1();
  volume.deleting = true;
  CHECK(compare(good_volume("v", {"n1", "n2"}), volume).empty());
}

TEST_CASE("volume events: copies that are on other nodes") {
  const auto move = [](const std::set<std::string>& home, const std::vector<std::string>& nodes) {
    const auto found = find_move(home, good_volume("v", nodes));
    return found ? to_lines({*found}).front() : "";
  };
  CHECK(move({"n1", "n2"}, {"n1", "n3"}) == "Normal CopyMoved: a copy is now on n3 instead of n2");
  CHECK(move({"n1", "n2"}, {"n3", "n4"}) ==
        "Normal CopyMoved: copies are now on n3 and n4 instead of n1 and n2");
  CHECK(move({"n1"}, {"n1", "n2"}) == "Normal CopyMoved: a copy is now on n2");
  CHECK(move({"n1", "n2"}, {"n1"}) == "Normal CopyMoved: no copy is on n2 any longer");
  CHECK(move({"n1", "n2"}, {"n2", "n1"}).empty());
  CHECK(move({}, {"n1"}).empty());
  api::VolumeInfo unfinished = good_volume("v", {"n1", "n3"});
  unfinished.replicas[1].current = false;
  CHECK_FALSE(find_move({"n1", "n2"}, unfinished));
  unfinished.replicas.pop_back();
  CHECK_FALSE(find_move({"n1", "n2"}, unfinished));
}

TEST_CASE("volume story: a flicker is not told") {
  VolumeStory story;
  const api::VolumeInfo good = good_volume("v", {"n1", "n2"});
  CHECK(story.learn(good, kBegin).empty());
  CHECK(story.learn(without_n1(), kBegin).empty());
  CHECK(story.is_waiting());
  CHECK(story.learn(good, kBegin + VolumeStory::kSettle).empty());
  CHECK_FALSE(story.is_waiting());
  // Each time that it begins counts by itself.
  CHECK(story.learn(without_n1(), kBegin + VolumeStory::kSettle).empty());
  CHECK(story.learn(without_n1(), kBegin + 2 * VolumeStory::kSettle - seconds(1)).empty());
}

TEST_CASE("volume story: trouble that lasts is told once, and its end at once") {
  VolumeStory story;
  CHECK(story.learn(good_volume("v", {"n1", "n2"}), kBegin).empty());
  CHECK(story.learn(without_n1(), kBegin).empty());
  const auto told = kBegin + VolumeStory::kSettle;
  CHECK(to_lines(story.learn(without_n1(), told)) == Lines{kN1Down});
  CHECK_FALSE(story.is_waiting());
  CHECK(story.learn(without_n1(), told + std::chrono::hours(1)).empty());
  CHECK(to_lines(story.learn(good_volume("v", {"n1", "n2"}), told + std::chrono::hours(1))) ==
        Lines{kWholeAgain});
}

TEST_CASE("volume story: a volume's creation and first trouble") {
  VolumeStory story;
  api::VolumeInfo creating = without_n1();
  creating.state = "Creating";
  CHECK(story.learn(creating, kBegin).empty());
  CHECK(story.learn(creating, kBegin + std::chrono::hours(1)).empty());
  CHECK_FALSE(story.is_waiting());
  CHECK(story.learn(without_n1(), kBegin + std::chrono::hours(1)).empty());
  CHECK(story.is_waiting());
}

TEST_CASE("volume story: trouble that comes and goes is told at most once a minute") {
  VolumeStory story;
  const api::VolumeInfo good = good_volume("v", {"n1", "n2"});
  story.learn(without_n1(), kBegin);
  auto at = kBegin + VolumeStory::kSettle;
  CHECK(story.learn(without_n1(), at).size() == 1);
  CHECK(to_lines(story.learn(good, at)) == Lines{kWholeAgain});
  CHECK(story.learn(without_n1(), at).empty());
  CHECK(story.learn(without_n1(), at + VolumeStory::kSettle).empty());
  CHECK(story.is_waiting());
  // Of what gets worse meanwhile is told.
  api::VolumeInfo worse = without_n1();
  lose_node(worse, 1);
  CHECK(story.learn(worse, at + VolumeStory::kSettle).size() == 1);
  at += VolumeStory::kSettle + VolumeStory::kBetween;
  CHECK(story.learn(without_n1(), at - VolumeStory::kSettle).empty());
  CHECK(to_lines(story.learn(without_n1(), at)) == Lines{kN1Down});
}

TEST_CASE("volume story: a copy that is rebuilt elsewhere") {
  VolumeStory story;
  story.learn(good_volume("v", {"n1", "n2"}), kBegin);
  story.learn(without_n1(), kBegin);
  auto at = kBegin + VolumeStory::kBetween;
  CHECK(story.learn(without_n1(), at).size() == 1);
  api::VolumeInfo rebuilt = good_volume("v", {"n3", "n2"});
  rebuilt.former = {"n1"};
  rebuilt.replicas[0].made = rebuilt.replicas[0].current = false;
  story.learn(rebuilt, at);
  at += VolumeStory::kBetween;
  CHECK(to_lines(story.learn(rebuilt, at)) ==
        Lines{"Warning VolumeDegraded: one of 2 copies is missing: the new copy on n3 is not "
              "complete yet"});
  CHECK(to_lines(story.learn(good_volume("v", {"n3", "n2"}), at)) ==
        Lines{"Normal VolumeHealthy: all 2 copies are in sync again",
              "Normal CopyMoved: a copy is now on n3 instead of n1"});
  CHECK(story.learn(good_volume("v", {"n3", "n2"}), at).empty());
}

TEST_CASE("volume events: told on the PV, and on the claim that is bound to it") {
  const EventServer server({pv_object("pv-1", "v", "Bound"), pv_object("pv-2", "v", "Released"),
                            pv_object("pv-3", "other", "Bound")});
  kube::Client client(server.settings());
  const kube::Cache<kube::PersistentVolume> pvs(client, paths::kVolumes, {});
  REQUIRE(pvs.await_listed(base::Clock::now() + seconds(30), {}));
  {
    kube::Events events(client, "plexvol-controller", "c1");
    VolumeEvents told({.events = events, .volumes = pvs});
    KnownVolumes::ByName volumes{{"v", without_n1()}, {"inline", without_n1()}};
    told.look(volumes, kBegin);
    CHECK(told.is_waiting());
    told.look(volumes, kBegin + VolumeStory::kSettle);
    CHECK_FALSE(told.is_waiting());
    REQUIRE(server.await_events(3));
    told.look(volumes, kBegin + std::chrono::hours(1));
  }
  const std::string what = kN1Down.substr(std::string("Warning VolumeDegraded: ").size());
  CHECK(server.events() ==
        std::set<std::string>{
            "Warning VolumeDegraded on PersistentVolume /pv-1 uid-pv-1: " + what,
            "Warning VolumeDegraded on PersistentVolumeClaim shop/pv-1 claim-pv-1: " + what,
            "Warning VolumeDegraded on PersistentVolume /pv-2 uid-pv-2: " + what});
  CHECK(server.count_patches() == 0);
}

TEST_CASE("volume events: the trouble of many volumes is told in portions") {
  std::vector<std::string> objects;
  KnownVolumes::ByName volumes;
  constexpr int kVolumes = VolumeEvents::kMostVolumesPerLook + 5;
  for (int i = 0; i < kVolumes; ++i) {
    const std::string name = "v" + std::to_string(i);
    objects.push_back(pv_object(name, name, "Available"));
    volumes[name] = without_n1();
  }
  const EventServer server(objects);
  kube::Client client(server.settings());
  const kube::Cache<kube::PersistentVolume> pvs(client, paths::kVolumes, {});
  REQUIRE(pvs.await_listed(base::Clock::now() + seconds(30), {}));
  kube::Events events(client, "plexvol-controller", "c1");
  VolumeEvents told({.events = events, .volumes = pvs});
  told.look(volumes, kBegin);
  told.look(volumes, kBegin + VolumeStory::kSettle);
  CHECK(told.is_waiting());
  REQUIRE(server.await_events(VolumeEvents::kMostVolumesPerLook));
  told.look(volumes, kBegin + VolumeStory::kSettle);
  CHECK_FALSE(told.is_waiting());
  CHECK(server.await_events(kVolumes));
}

}  // namespace plexvol::controller
