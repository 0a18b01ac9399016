#include "agent/controller/pod_choice.h"

#include <doctest/doctest.h>

#include <string>

using namespace plexvol;
using controller::choose;

namespace {

kube::Pod pod_with(const std::vector<std::string>& claims) {
  kube::Pod made;
  made.meta.ns = "prod";
  made.meta.name = "db-0";
  made.claims = claims;
  made.has_controller = true;
  return made;
}

// Claims "data" and "log" are of volumes v and w; "nfs" is of somebody else's.
std::optional<std::string> volume_of(const std::string& claim) {
  if (claim == "data") return "v";
  if (claim == "log") return "w";
  if (claim == "nfs") return "";
  return std::nullopt;
}

std::string why_left(const kube::Pod& pod, const std::set<std::string>& moved = {"v"}) {
  const auto choice = choose(pod, volume_of, moved);
  REQUIRE(choice);
  return choice->left_alone;
}

}  // namespace

TEST_CASE("a pod is deleted when all of its volumes can be used elsewhere") {
  CHECK(why_left(pod_with({"data"})).empty());
  CHECK(why_left(pod_with({"data", "log"}), {"v", "w"}).empty());
  kube::Pod inline_volume = pod_with({});
  inline_volume.inline_volumes = {{"data", {{"volume", "v"}}}};
  CHECK(why_left(inline_volume).empty());
}

TEST_CASE("a pod that uses none of the moved volumes is nothing to us") {
  CHECK_FALSE(choose(pod_with({"log", "nfs", "gone"}), volume_of, {"v"}));
  CHECK_FALSE(choose(pod_with({}), volume_of, {"v"}));
}

TEST_CASE("a pod that has ended is left, since its Job counts it, unless it is to go") {
  kube::Pod pod = pod_with({"data"});
  for (const char* phase : {"Succeeded", "Failed"}) {
    pod.phase = phase;
    pod.meta.deleted_at = "";
    CHECK_FALSE(choose(pod, volume_of, {"v"}));
    pod.meta.deleted_at = "2020-01-01T00:00:00Z";
    CHECK(why_left(pod).empty());
  }
  pod.meta.deleted_at = "";
  for (const char* phase : {"Pending", "Running", "Unknown", ""}) {
    pod.phase = phase;
    CHECK(why_left(pod).empty());
  }
}

TEST_CASE("a pod is left alone when it could not start elsewhere, or keeps something on its node") {
  CHECK(why_left(pod_with({"data", "log"})) == "its volume w has no other copy that can be used");
  CHECK(why_left(pod_with({"data", "nfs"})) ==
        "it uses the claim nfs, whose volume is not Plexvol's");
  CHECK(why_left(pod_with({"data", "gone"})) ==
        "it uses the claim gone, whose volume is not Plexvol's");
  kube::Pod pod = pod_with({"data"});
  pod.has_host_path = true;
  CHECK(why_left(pod) == "it uses a hostPath");
  pod = pod_with({"data"});
  pod.has_controller = false;
  CHECK(why_left(pod) == "no controller would create it again");
  pod = pod_with({"data"});
  pod.is_mirror = true;
  CHECK(why_left(pod) == "it is a static pod of its node");
}

TEST_CASE("an annotation of the pod has the last word, but for volumes that nothing can move") {
  kube::Pod pod = pod_with({"data"});
  pod.meta.annotations[controller::kFailoverAnnotation] = "off";
  CHECK(why_left(pod) == "its annotation plexvol.io/failover is off");
  pod = pod_with({"data", "nfs"});
  pod.has_host_path = true;
  pod.has_controller = false;
  pod.meta.annotations[controller::kFailoverAnnotation] = "on";
  CHECK(why_left(pod).empty());
  pod.claims.push_back("log");
  CHECK_FALSE(why_left(pod).empty());
}
