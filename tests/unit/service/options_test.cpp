#include "agent/service/options.h"

#include <doctest/doctest.h>

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::service;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kName = "kubernetes.io/pvOrVolumeName";

std::string refusal(const api::Options& options) {
  try {
    parse_options(options);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::InvalidArgument);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("options: the volume is named by volume, else volumeID, else the PV") {
  CHECK(parse_options({{kName, "pv-1"}}).volume == "pv-1");
  CHECK(parse_options({{kName, "pv-1"}, {"volumeID", "vol1"}}).volume == "vol1");
  const Wish wish = parse_options({{kName, "pv-1"}, {"volumeID", "vol1"}, {"volume", "data"}});
  CHECK(wish.volume == "data");
  CHECK(wish.name == "pv-1");
  CHECK(refusal({{"size", "1Gi"}}).find("name no volume") != std::string::npos);
}

TEST_CASE("options: those of the classic LVM demo are understood") {
  const Wish wish = parse_options({{kName, "test"},
                                   {"volumeID", "vol1"},
                                   {"size", "1000m"},
                                   {"volumegroup", "kube_vg"},
                                   {"kubernetes.io/fsType", "xfs"},
                                   {"kubernetes.io/readwrite", "rw"}});
  CHECK(wish.size_bytes == 1000ULL << 20);
  CHECK(wish.pool == "kube_vg");
  CHECK(wish.fs_type == "xfs");
  CHECK(wish.replicas == 1);
  CHECK_FALSE(wish.read_only);
}

TEST_CASE(
    "options: read-only comes from the claim, from our own option or from the mount options") {
  CHECK(parse_options({{kName, "a"}, {"kubernetes.io/readwrite", "ro"}}).read_only);
  CHECK(parse_options({{kName, "a"}, {"readOnly", "true"}}).read_only);
  CHECK(parse_options({{kName, "a"}, {"mountOptions", "ro,noatime"}}).read_only);
  CHECK_FALSE(parse_options({{kName, "a"}, {"readOnly", "false"}}).read_only);
}

TEST_CASE("options: what is wrong is named") {
  CHECK(refusal({{kName, "a"}, {"replicas", "3"}}).find("3 replicas") == 0);
  CHECK(refusal({{kName, "a"}, {"replicas", "two"}}).find("option replicas is \"two\"") == 0);
  CHECK(refusal({{kName, "a"}, {"readOnly", "yes"}}).find("option readOnly") == 0);
  CHECK(refusal({{kName, "a"}, {"fsType", "zfs"}}).find("\"zfs\"") != std::string::npos);
  for (const char* size : {"0", "9Ei", "abc", "", "-1", "1Gi; rm"}) {
    CHECK_FALSE(refusal({{kName, "a"}, {"size", size}}).empty());
  }
  for (const std::string& name : {std::string("a/b"), std::string(".."), std::string("a b"),
                                  std::string(300, 'x'), std::string("a\nb")}) {
    CHECK_FALSE(refusal({{kName, "a"}, {"volume", name}}).empty());
  }
}

TEST_CASE("options: those of another volume are told apart") {
  model::Volume volume;
  volume.name = "data";
  volume.size_bytes = 1ULL << 30;
  volume.fs_type = "ext4";
  volume.pool = "p";
  const auto differs = [&](const api::Options& options) {
    try {
      check_same_volume(parse_options(options), volume);
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  CHECK_FALSE(differs({{kName, "data"}, {"size", "1Gi"}, {"fsType", "ext4"}, {"pool", "p"}}));
  CHECK_FALSE(differs({{kName, "data"}, {"size", "512Mi"}}));  // it may have grown since
  CHECK(differs({{kName, "data"}, {"size", "2Gi"}}));
  CHECK(differs({{kName, "data"}, {"fsType", "xfs"}}));
  CHECK(differs({{kName, "data"}, {"pool", "q"}}));
}
