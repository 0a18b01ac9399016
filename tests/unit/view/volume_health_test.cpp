#include "agent/view/volume_health.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/copies.h"

namespace plexvol::view {

using support::begin_resync;
using support::good_volume;
using support::lose_node;
using support::take_out;

namespace {

using HealthState = VolumeHealth::State;

constexpr std::int64_t kJanuary = 1769853600;

std::string health_text(const api::VolumeInfo& volume) {
  const VolumeHealth health = find_health(volume);
  return health.what + ": " + health.why;
}

}  // namespace

TEST_CASE("volume health: good copies are healthy, with one copy and with two") {
  CHECK(find_health(good_volume("v", {"n1", "n2"})).state == HealthState::Healthy);
  CHECK(find_health(good_volume("v", {"n1"})).state == HealthState::Healthy);
}

TEST_CASE("volume health: nothing is known of a volume that comes, goes, or cannot be read") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  lose_node(volume, 0);
  take_out(volume, 0, kJanuary);
  REQUIRE(find_health(volume).state == HealthState::Degraded);
  for (const std::string state : {"Creating", "Unreadable"}) {
    api::VolumeInfo other = volume;
    other.state = state;
    CHECK(find_health(other).state == HealthState::Unknown);
    CHECK(find_whole_copies(other).empty());
  }
  volume.deleting = true;
  CHECK(find_health(volume).state == HealthState::Unknown);
  CHECK(find_health(api::VolumeInfo{}).state == HealthState::Unknown);
}

TEST_CASE("volume health: a node that is down, before and after its copy was taken out") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  lose_node(volume, 0);
  CHECK(find_health(volume).state == HealthState::Degraded);
  CHECK(health_text(volume) == "one of 2 copies is missing: node n1 is down");
  CHECK(find_health(volume).since == 0);
  take_out(volume, 0, kJanuary);
  CHECK(health_text(volume) == "one of 2 copies is missing: node n1 is down");
  CHECK(find_health(volume).since == kJanuary);
}

TEST_CASE("volume health: an agent that is away degrades nothing while the copies are connected") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  volume.replicas[0].alive = false;
  volume.replicas[0].connection = "";
  volume.replicas[0].error = "its agent is not running";
  CHECK(find_health(volume).state == HealthState::Healthy);
  CHECK(find_whole_copies(volume) == std::set<std::string>{"n1", "n2"});
  // Nobody knows of the other side.
  volume.replicas[1].connection = "";
  CHECK(health_text(volume) ==
        "one of 2 copies is missing: node n1 is down, or its agent is not running");
}

TEST_CASE("volume health: a copy that is resynced, whatever the progress") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  take_out(volume, 1, kJanuary);
  begin_resync(volume, 1);
  volume.replicas[1].synced_percent = 12;
  const std::string text = health_text(volume);
  CHECK(text == "one of 2 copies is missing: the copy on n2 is being resynced");
  volume.replicas[1].synced_percent = 99;
  volume.replicas[1].out_of_sync_bytes = 7;
  CHECK(health_text(volume) == text);
  CHECK(find_whole_copies(volume).empty());
}

TEST_CASE("volume health: a new copy that is not complete, and one that no node can have") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n3"});
  volume.replicas[1].made = false;
  volume.replicas[1].current = false;
  CHECK(health_text(volume) ==
        "one of 2 copies is missing: the new copy on n3 is not complete yet");
  volume.replicas.pop_back();
  CHECK(health_text(volume) ==
        "one of 2 copies is missing: it was lost, and no other node could take a new one; add a "
        "node with room, or uncordon one");
  CHECK(find_whole_copies(volume).empty());
}

TEST_CASE("volume health: a failed disk is told by the agent's word") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  take_out(volume, 0, kJanuary);
  volume.replicas[0].disk_state = "Diskless";
  CHECK(health_text(volume) ==
        "one of 2 copies is missing: the disk of the copy on n1 has failed; check the disks of n1");
  CHECK(find_health(volume).quoted.empty());
  volume.replicas[0].error = "volume v: cannot attach\nits disk";
  CHECK(
      health_text(volume) ==
      "one of 2 copies is missing: the disk of the copy on n1 has failed: volume v: cannot attach "
      "its disk");
  CHECK(find_health(volume).quoted == std::set<std::string>{"n1"});
}

TEST_CASE("volume health: a disk that is being attached has not failed") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  volume.replicas[0].disk_state = "Diskless";
  CHECK(find_health(volume).state == HealthState::Healthy);
}

TEST_CASE("volume health: a copy that is out of the set and cannot be reached") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  take_out(volume, 1, kJanuary);
  volume.replicas[0].connection = volume.replicas[1].connection = "Connecting";
  CHECK(health_text(volume) ==
        "one of 2 copies is missing: the copy on n2 is out of the current set and not connected; "
        "check the network between the nodes (`plexvol doctor` on each)");
  volume.replicas[1].error = "volume v: its device is gone";
  CHECK(
      health_text(volume) ==
      "one of 2 copies is missing: the copy on n2 is out of the current set: volume v: its device "
      "is gone");
}

TEST_CASE("volume health: current copies that both say they are apart") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  volume.replicas[0].connection = "Connecting";
  CHECK(find_health(volume).state == HealthState::Healthy);
  volume.replicas[1].connection = "StandAlone";
  CHECK(find_health(volume).state == HealthState::Degraded);
  CHECK(health_text(volume) ==
        "the copies are not connected: check the network between n1 and n2 (`plexvol doctor` on "
        "each)");
}

TEST_CASE("volume health: unavailable, and which node is needed") {
  api::VolumeInfo single = good_volume("v", {"n1"});
  lose_node(single, 0);
  CHECK(find_health(single).state == HealthState::Unavailable);
  CHECK(
      health_text(single) ==
      "no copy can be used: node n1 is down, or its agent is not running; start n1 and its agent");
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  lose_node(volume, 0);
  take_out(volume, 1, kJanuary);
  CHECK(find_health(volume).state == HealthState::Unavailable);
  CHECK(health_text(volume) ==
        "no copy can be used: node n1 is down; the copy on n2 is out of the current set and not "
        "connected; start n1 and its agent, which has the newest data; only if it never returns: "
        "`plexvol volume force-current v --node n2`");
  lose_node(volume, 1);
  CHECK(health_text(volume) ==
        "no copy can be used: node n1 is down, or its agent is not running; node n2 is down, or "
        "its agent is not running; start n1 and its agent");
}

TEST_CASE(
    "volume health: unavailable since the last current disk has failed, or nothing is current") {
  api::VolumeInfo volume = good_volume("v", {"n1", "n2"});
  lose_node(volume, 1);
  take_out(volume, 1, kJanuary);
  volume.replicas[0].disk_state = "Diskless";
  volume.replicas[0].error = "run this";
  CHECK(health_text(volume) ==
        "no copy can be used: the disk of the copy on n1 has failed: run this; node n2 is down");
  api::VolumeInfo none = good_volume("v", {"n1"});
  none.replicas[0].current = false;
  CHECK(health_text(none) ==
        "no copy can be used: the copy on n1 is out of the current set and not connected; see "
        "`plexvol volume show v`");
}

TEST_CASE("volume health: a long error is cut") {
  CHECK(quote_error(std::string(5000, 'x')) == std::string(600, 'x') + "...");
}

}  // namespace plexvol::view
