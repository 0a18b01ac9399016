#include "agent/controller/claim_growth.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/api/error.h"
#include "tests/unit/controller/object_server.h"

using namespace plexvol;
using controller::ClaimGrowth;
using nlohmann::json;

namespace {

const std::string kAllClaims = "/api/v1/namespaces/default/persistentvolumeclaims";
const std::string kAllPvs = "/api/v1/persistentvolumes";
const std::string kBoundClaim = kAllClaims + "/data";
const std::string kPv = kAllPvs + "/pvc-1";

// A bound claim of 1 GiB that now asks for 2, and an agent that does what it is told.
struct GrowthCase {
  GrowthCase() {
    server.create(
        kBoundClaim,
        {{"kind", "PersistentVolumeClaim"},
         {"metadata", {{"namespace", "default"}}},
         {"spec", {{"volumeName", "pvc-1"}, {"resources", {{"requests", {{"storage", "2Gi"}}}}}}},
         {"status", {{"phase", "Bound"}, {"capacity", {{"storage", "1Gi"}}}}}});
    server.create(
        kPv, {{"kind", "PersistentVolume"},
              {"spec",
               {{"capacity", {{"storage", "1Gi"}}},
                {"claimRef", {{"name", "data"}, {"uid", "uid-" + kBoundClaim}}},
                {"flexVolume", {{"driver", "plexvol/plexvol"}, {"options", {{"volume", "v"}}}}}}}});
  }

  bool look() {
    support::await_synced([this] {
      return support::is_synced(claims, server, kAllClaims) &&
             support::is_synced(volumes, server, kAllPvs);
    });
    return growth.look_at("default/data");
  }
  std::string claim_has() {
    return server.find(kBoundClaim)["status"]["capacity"]["storage"].get<std::string>();
  }
  std::string volume_has() {
    return server.find(kPv)["spec"]["capacity"]["storage"].get<std::string>();
  }

  support::ObjectServer server;
  std::vector<std::uint64_t> asked;
  std::function<void()> refuse = [] {};
  kube::Client client{support::settings_for(server)};
  kube::Events events{client, "test", "test"};
  kube::Cache<kube::Claim> claims{client, kAllClaims, {}};
  kube::Cache<kube::PersistentVolume> volumes{client, kAllPvs, {}};
  ClaimGrowth growth{{.client = client,
                      .events = events,
                      .grow =
                          [this](const std::string& volume, std::uint64_t size_bytes) {
                            CHECK(volume == "v");
                            asked.push_back(size_bytes);
                            refuse();
                            api::VolumeInfo info;
                            info.name = volume;
                            info.size_bytes = size_bytes;
                            return info;
                          },
                      .claims = claims,
                      .volumes = volumes}};
};

}  // namespace

TEST_CASE("claim growth: the volume first, then what Kubernetes shows, once") {
  GrowthCase test;
  CHECK(test.look());
  CHECK(test.asked == std::vector<std::uint64_t>{2ULL << 30U});
  CHECK(test.volume_has() == "2Gi");
  CHECK(test.claim_has() == "2Gi");
  CHECK(test.look());
  CHECK(test.asked.size() == 1);
}

TEST_CASE("claim growth: what cannot grow keeps its capacity, and is tried again") {
  GrowthCase test;
  test.refuse = [] { throw Error(ErrorCode::OutOfSpace, "no room"); };
  CHECK_FALSE(test.look());
  CHECK(test.volume_has() == "1Gi");
  CHECK(test.claim_has() == "1Gi");
  test.refuse = [] {};
  SUBCASE("there is room now") {}
  SUBCASE("a controller died between the two") {
    test.server.patch(kPv, {{"spec", {{"capacity", {{"storage", "2Gi"}}}}}});
  }
  CHECK(test.look());
  CHECK(test.claim_has() == "2Gi");
}

TEST_CASE("claim growth: a size that no volume can have is refused") {
  GrowthCase test;
  test.server.patch(kBoundClaim,
                    {{"spec", {{"resources", {{"requests", {{"storage", "100Ei"}}}}}}}});
  CHECK_FALSE(test.look());
  CHECK(test.asked.empty());
}

TEST_CASE("claim growth: others' volumes, and claims that ask for nothing more, are left alone") {
  GrowthCase test;
  SUBCASE("another driver's") {
    test.server.patch(kPv, {{"spec", {{"flexVolume", {{"driver", "lab/fv"}}}}}});
  }
  SUBCASE("bound to another claim by now") {
    test.server.patch(kPv, {{"spec", {{"claimRef", {{"uid", "other"}}}}}});
  }
  SUBCASE("smaller") {
    test.server.patch(kBoundClaim,
                      {{"spec", {{"resources", {{"requests", {{"storage", "1Mi"}}}}}}}});
  }
  SUBCASE("not bound") {
    test.server.patch(kBoundClaim, {{"status", {{"phase", "Lost"}}}});
  }
  CHECK(test.look());
  CHECK(test.asked.empty());
}

TEST_CASE("claim growth: of the servers that leave it to us") {
  CHECK_FALSE(controller::needs_claim_growth(10));
  CHECK(controller::needs_claim_growth(11));
  CHECK(controller::needs_claim_growth(12));
  CHECK_FALSE(controller::needs_claim_growth(13));
}
