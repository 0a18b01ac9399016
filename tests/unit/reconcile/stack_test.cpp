#include "agent/reconcile/stack.h"

#include <doctest/doctest.h>

#include "tests/unit/reconcile/plan_cases.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)

TEST_CASE("stack: a volume of one copy is its backing device") {
  const model::Volume volume = cases::single().volume;
  Seen seen = cases::seen_single();
  CHECK(layers_of(volume) == std::vector<Layer>{Layer::Backing});
  CHECK(parts_of(volume).size() == 1);
  CHECK(find_missing_part(volume, seen).empty());
  CHECK(device_path(volume, seen) == seen.data->device);
  CHECK(lets_use(volume, seen));
  seen.data->active = false;
  CHECK(device_path(volume, seen).empty());
  seen.data.reset();
  CHECK(find_missing_part(volume, seen) == "data");
  CHECK(device_path(volume, seen).empty());
}

TEST_CASE("stack: an image has no device until it is active, a logical volume always has one") {
  const model::Volume volume = cases::mirrored().volume;
  Seen seen = cases::seen_mirrored("Secondary");
  CHECK(have_devices(volume, seen));
  seen.metadata->active = false;
  CHECK(have_devices(volume, seen));
  // Wherever its directory is.
  seen.metadata->path = "/dev/shm/v.meta.img";
  seen.metadata->device = "";
  CHECK_FALSE(have_devices(volume, seen));
  seen.metadata.reset();
  CHECK(have_devices(volume, seen));
}

TEST_CASE("stack: a mirrored volume is DRBD's device, over two backing devices") {
  const model::Volume volume = cases::mirrored().volume;
  Seen seen = cases::seen_mirrored("Primary");
  CHECK(layers_of(volume) == std::vector<Layer>{Layer::Backing, Layer::Drbd});
  CHECK(find_missing_part(volume, seen).empty());
  CHECK(device_path(volume, seen) == "/dev/drbd" + std::to_string(volume.minor));
  CHECK(lets_use(volume, seen));
  seen.resource->role = "Secondary";
  CHECK_FALSE(lets_use(volume, seen));
  seen.metadata.reset();
  CHECK(find_missing_part(volume, seen) == "DRBD metadata");
  // Over a disk that failed it works on its peer's.
  seen.data.reset();
  CHECK(find_missing_part(volume, seen) == "data");
  CHECK_FALSE(device_path(volume, seen).empty());
  seen.resource.reset();
  CHECK(device_path(volume, seen).empty());
  CHECK_FALSE(lets_use(volume, seen));
}
