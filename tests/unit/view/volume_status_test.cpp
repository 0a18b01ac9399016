#include "agent/view/volume_status.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/support/copies.h"

using namespace plexvol;
using nlohmann::json;

namespace {

constexpr std::int64_t kThen = 1'769'853'600;  // 2026-01-31T10:00:00Z
constexpr std::int64_t kLater = kThen + 60;

api::VolumeInfo mirrored() {
  api::VolumeInfo volume = support::good_volume("db-1", {"n1", "n2"});
  volume.size_bytes = std::uint64_t{1} << 30U;
  volume.pool = "fast";
  volume.fs_type = "ext4";
  return volume;
}

api::VolumeInfo degraded() {
  api::VolumeInfo volume = mirrored();
  volume.state = "Degraded";
  support::lose_node(volume, 1);
  support::take_out(volume, 1, kThen);
  return volume;
}

json status_of(const api::VolumeInfo& volume, const view::VolumeOwner& owner = {},
               const std::string& before = "", std::int64_t now = kThen) {
  return json::parse(view::volume_status(volume, owner, before, now));
}

json condition(const json& status, const std::string& type) {
  for (const json& found : status["conditions"]) {
    if (found["type"] == type) return found;
  }
  return {};
}

}  // namespace

TEST_CASE("what kubectl shows of a volume that is in order") {
  api::VolumeInfo volume = mirrored();
  volume.attached_to = "n1";
  const json status = status_of(volume, {"pv-1", "prod", "data"});
  CHECK(status["volume"] == "db-1");
  CHECK(status["state"] == "Ready");
  CHECK(status["size"] == "1Gi");
  CHECK(status["sizeBytes"] == volume.size_bytes);
  CHECK(status["copies"] == "n1,n2");
  CHECK(status["wantedCopies"] == 2);
  CHECK(status["usedBy"] == "prod/data on n1");
  CHECK(status["persistentVolume"] == "pv-1");
  CHECK(status["claim"] == json{{"namespace", "prod"}, {"name", "data"}});
  CHECK(status["replicas"].size() == 2);
  CHECK(condition(status, "Available")["status"] == "True");
  CHECK(condition(status, "Healthy")["status"] == "True");
}

TEST_CASE("who uses a volume, as far as that is known") {
  api::VolumeInfo volume = mirrored();
  CHECK_FALSE(status_of(volume, {"pv-1", "prod", "data"}).contains("usedBy"));
  volume.attached_to = "n2";
  CHECK(status_of(volume)["usedBy"] == "on n2");
}

TEST_CASE("a copy that cannot be used stands in parentheses, and the condition says why") {
  const json status = status_of(degraded());
  CHECK(status["copies"] == "n1 (n2)");
  CHECK(status["replicas"][1]["leftAt"] == "2026-01-31T10:00:00Z");
  const json healthy = condition(status, "Healthy");
  CHECK(healthy["status"] == "False");
  CHECK(healthy["reason"] == "Degraded");
  CHECK(healthy["message"] == "one of 2 copies is missing: node n2 is down");
  CHECK(condition(status, "Available")["status"] == "True");

  api::VolumeInfo volume = degraded();
  volume.state = "Unavailable";
  support::lose_node(volume, 0);
  CHECK(status_of(volume)["copies"] == "(n1,n2)");
  CHECK(condition(status_of(volume), "Available")["status"] == "False");
}

TEST_CASE("the time of a condition is when its status changed") {
  const json healthy = status_of(mirrored());
  const json still = status_of(mirrored(), {}, healthy.dump(), kLater);
  CHECK(still == healthy);
  const json changed = status_of(degraded(), {}, healthy.dump(), kLater);
  CHECK(condition(changed, "Healthy")["lastTransitionTime"] == "2026-01-31T10:01:00Z");
  CHECK(condition(changed, "Available")["lastTransitionTime"] == "2026-01-31T10:00:00Z");
}

TEST_CASE("what somebody else has written into a status does no harm") {
  for (const char* before : {"", "[]", "{\"conditions\":7}", "{\"conditions\":[7,{\"type\":3}]}",
                             "{\"conditions\":[{\"type\":\"Healthy\",\"status\":\"True\"}]}"}) {
    CAPTURE(before);
    const json status = status_of(mirrored(), {}, before);
    CHECK(status == status_of(mirrored()));
  }
}

TEST_CASE("a resync changes a status once for each percent") {
  api::VolumeInfo volume = mirrored();
  volume.state = "Syncing";
  volume.replicas[1].synced_percent = 41.2;
  const json status = status_of(volume);
  CHECK(status["replicas"][1]["syncedPercent"] == 41);
  volume.replicas[1].synced_percent = 41.9;
  volume.replicas[1].out_of_sync_bytes = 77;
  CHECK(status_of(volume) == status);
}

TEST_CASE("of a volume whose record cannot be read only that is shown") {
  api::VolumeInfo volume;
  volume.name = "db-1";
  volume.state = "Unreadable";
  const json status = status_of(volume);
  CHECK_FALSE(status.contains("size"));
  CHECK(condition(status, "Available")["status"] == "Unknown");
}
