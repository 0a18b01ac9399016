// Whose pods may mount a volume.
#include <doctest/doctest.h>

#include "tests/unit/volumes/quiet_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)
namespace keys = store::keys;

namespace {

// n3 has room, and its agent is alive. Nobody works on the volumes, so a call that is not refused
// runs out of time.
struct TenantsCase : QuietNode {
  TenantsCase() { announce(10 * kGi); }
  void add_volume(const std::string& id) {
    model::Volume volume;
    volume.name = "v";
    volume.id = id;
    volume.size_bytes = kGi;
    volume.pool = "p";
    volume.fs_type = "ext4";
    volume.replicas = {{"n3", true}};
    store.commit(store::Change().put(keys::volume("v"), model::to_json(volume)).wake(volume));
  }
  // "" when nothing is wrong but that nobody works on it.
  std::string mount(const std::string& tenant, const std::string& volume = "v",
                    const std::string& size = "") {
    api::MountRequest request;
    request.target = "/mnt";
    request.options = {{"kubernetes.io/pvOrVolumeName", volume}};
    if (!size.empty()) request.options["size"] = size;
    if (!tenant.empty()) request.options["kubernetes.io/pod.namespace"] = tenant;
    try {
      flexvolume.mount(request, {.deadline = std::chrono::steady_clock::now(), .stop = {}});
      FAIL("nobody can have prepared it");
    } catch (const Error& error) {
      if (error.code() == ErrorCode::Unavailable) return "";
      CHECK(error.code() == ErrorCode::Conflict);
      return error.what();
    }
    return "";
  }
  std::string tenant() {
    const auto found = store.find_tenant("v");
    return found ? found->value.name : "";
  }
};

}  // namespace

TEST_CASE("tenants: a volume is of the namespace that first mounts it, and of no other [S7]") {
  TenantsCase test;
  test.add_volume("id");
  CHECK(test.commands.show_volume("v").tenant.empty());
  CHECK(test.mount("a").empty());
  CHECK(test.commands.show_volume("v").tenant == "a");
  CHECK(test.mount("a").empty());
  const auto attachment = test.store.find_attachment("v");
  const std::string refusal = test.mount("b");
  CHECK(refusal.find(
            "volume v belongs to namespace a and cannot be mounted for a pod of namespace b") == 0);
  CHECK(refusal.find("`plexvol volume set v --namespace b`") != std::string::npos);
  // Nothing was asked of the volume for it.
  CHECK(test.store.find_attachment("v")->revision == attachment->revision);
  CHECK(test.tenant() == "a");
  // By a person, whom no namespace holds back.
  CHECK(test.mount("").empty());
}

TEST_CASE(
    "tenants: a volume that a mount makes is of its namespace from the first moment on [S7]") {
  TenantsCase test;
  CHECK(test.mount("a", "v", "1Gi").empty());
  CHECK(test.tenant() == "a");
  CHECK(test.mount("b", "v", "1Gi").find("belongs to namespace a") != std::string::npos);
}

TEST_CASE("tenants: a person changes whose it is [S7]") {
  TenantsCase test;
  test.add_volume("id");
  CHECK(test.mount("a").empty());
  CHECK(test.commands.set_volume({.name = "v", .tenant = "b"}).tenant == "b");
  CHECK(test.mount("b").empty());
  CHECK(test.mount("a") != "");
  CHECK(test.commands.set_volume({.name = "v", .tenant = api::kAnyNamespace}).tenant ==
        api::kAnyNamespace);
  CHECK(test.mount("a").empty());
  CHECK(test.mount("b").empty());
  CHECK(test.tenant() == api::kAnyNamespace);
  CHECK_THROWS_AS(test.commands.set_volume({.name = "v", .tenant = "B"}), Error);
  CHECK_THROWS_AS(test.commands.set_volume({.name = "v", .tenant = ""}), Error);
  CHECK_THROWS_AS(test.commands.set_volume({.name = "w", .tenant = "b"}), Error);
}

TEST_CASE("tenants: what an older agent left of a deleted volume says nothing of a new one [S7]") {
  TenantsCase test;
  test.put(keys::tenant("v"), model::to_json(model::Tenant{.volume_id = "before", .name = "a"}));
  test.add_volume("id");
  CHECK(test.commands.show_volume("v").tenant.empty());
  CHECK(test.mount("b").empty());
  CHECK(test.tenant() == "b");
}

TEST_CASE("tenants: the last node to give its copy up takes the namespace along [S7]") {
  TenantsCase test;
  test.add_volume("id");
  CHECK(test.mount("a").empty());
  test.store.commit(store::remove_part(*test.store.find_volume("v"), "n3"));
  CHECK_FALSE(test.store.find_tenant("v").has_value());
}
