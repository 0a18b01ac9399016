#include "agent/controller/in_use.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace plexvol::controller;  // NOLINT(google-build-using-namespace)
using nlohmann::json;

TEST_CASE("in use: ours that have moved are taken from the list, and nothing else") {
  const std::vector<std::string> listed = {"plexvol/plexvol/a", "kubernetes.io/csi/x^a",
                                           "plexvol/plexvol/b", "flexvolume-plexvol/plexvol/c"};
  const json status = {{"status", {{"volumesInUse", listed}}}};
  const std::string patch = to_patch_without(listed, {"a", "c", "gone"});
  CHECK(status.patch(json::parse(patch)) ==
        json{{"status", {{"volumesInUse", {listed[1], listed[2]}}}}});

  SUBCASE("another list than the one that was read is left as it is") {
    const json changed = {{"status", {{"volumesInUse", {listed[2], listed[1]}}}}};
    CHECK_THROWS(changed.patch(json::parse(patch)));
  }
  SUBCASE("nothing is asked for where none is listed") {
    CHECK(to_patch_without(listed, {"gone"}).empty());
    CHECK(to_patch_without({}, {"a"}).empty());
  }
}
