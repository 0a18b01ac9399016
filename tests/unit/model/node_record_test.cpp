#include <doctest/doctest.h>

#include <cstdint>

#include "agent/model/codec.h"

using namespace plexvol;  // NOLINT(google-build-using-namespace)

TEST_CASE("records of 0.1.0 lack what later agents tell of kernels, extents and sizes [D13]") {
  const auto node = model::from_json<model::Node>(
      R"({"name": "n1", "address": "10.0.0.1", "version": "0.1.0", "drbd_version": "8.4.11",
          "mirror_error": "", "pools": [{"name": "p", "type": "lvm", "total_bytes": 8,
          "free_bytes": 4, "error": ""}]})");
  CHECK(node.kernel.empty());
  REQUIRE(node.pools.size() == 1);
  CHECK(node.pools.front().extent_bytes == 0);
  const auto status = model::from_json<model::Status>(
      R"({"session": "s", "attachment_revision": 1, "ready": true, "device": "/dev/vg/v",
          "role": "", "disk_state": "", "connection": "", "synced_percent": 100.0,
          "out_of_sync_bytes": 0, "mounts": [], "refused_release": "", "error_code": "Internal",
          "error": ""})");
  CHECK(status.device_bytes == 0);
}

TEST_CASE("kernels, extents and sizes survive the store [D13]") {
  model::Node node{.name = "n1",
                   .address = "",
                   .version = "",
                   .drbd_version = "",
                   .mirror_error = "",
                   .pools = {},
                   .kernel = "6.1.0-38-amd64"};
  model::Pool pool;
  pool.name = "p";
  pool.extent_bytes = 32U << 20U;
  node.pools.push_back(pool);
  CHECK(model::from_json<model::Node>(model::to_json(node)) == node);
  model::Status status;
  status.device_bytes = std::uint64_t{20} << 30U;
  CHECK(model::from_json<model::Status>(model::to_json(status)) == status);
}
