#include "agent/flexvolume/options.h"

#include <doctest/doctest.h>

using namespace plexvol;              // NOLINT(google-build-using-namespace)
using namespace plexvol::flexvolume;  // NOLINT(google-build-using-namespace)

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
  CHECK(parse_options({{kName, "pv-1"}}).wanted.volume == "pv-1");
  CHECK(parse_options({{kName, "pv-1"}, {"volumeID", "vol1"}}).wanted.volume == "vol1");
  const Request request =
      parse_options({{kName, "pv-1"}, {"volumeID", "vol1"}, {"volume", "data"}});
  CHECK(request.wanted.volume == "data");
  CHECK(request.name == "pv-1");
  CHECK(refusal({{"size", "1Gi"}}).find("name no volume") != std::string::npos);
}

TEST_CASE("options: those of the classic LVM demo are understood") {
  const Request request = parse_options({{kName, "test"},
                                         {"volumeID", "vol1"},
                                         {"size", "1000m"},
                                         {"volumegroup", "kube_vg"},
                                         {"kubernetes.io/fsType", "xfs"},
                                         {"kubernetes.io/readwrite", "rw"}});
  CHECK(request.wanted.size_bytes == 1000ULL << 20);
  CHECK(request.wanted.pool == "kube_vg");
  CHECK(request.wanted.fs_type == "xfs");
  CHECK_FALSE(request.wanted.replicas.has_value());
  CHECK_FALSE(request.read_only);
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

TEST_CASE("options: one that is not known is refused, with the nearest that is [O7]") {
  const auto near = [](const std::string& name) {
    const std::string message = refusal({{kName, "a"}, {name, "2"}});
    CHECK(message.find("option \"" + name.substr(0, 80)) == 0);
    CHECK(message.find("; known options: volume, volumeID, size, replicas,") != std::string::npos);
    const std::string ask = "did you mean \"";
    const std::size_t at = message.find(ask);
    if (at == std::string::npos) return std::string();
    return message.substr(at + ask.size(), message.find('"', at + ask.size()) - at - ask.size());
  };
  CHECK(near("replica") == "replicas");
  CHECK(near("Pool") == "pool");
  CHECK(near("SIZE") == "size");
  CHECK(near("volumeGroup") == "volumegroup");
  CHECK(near("volumeId") == "volumeID");
  CHECK(near("fstype") == "fsType");
  CHECK(near("mountoption") == "mountOptions");
  CHECK(near("mkfs-options") == "mkfsOptions");
  CHECK(near("colour").empty());
  CHECK(near("").empty());
  CHECK(near(std::string(100'000, 'x')).empty());
  CHECK(refusal({{kName, "a"}, {"a\nb", ""}}).find('\n') == std::string::npos);
}

TEST_CASE("options: what Kubernetes adds, now or later, is no reason to refuse [O7]") {
  CHECK(
      refusal({{kName, "a"}, {"kubernetes.io/pod.uid", "x"}, {"kubernetes.io/new", "x"}}).empty());
}

TEST_CASE(
    "options: a call for what is attached already goes on with those that are not known [O7]") {
  CHECK(parse_options({{kName, "a"}, {"colour", "red"}}, UnknownOptions::Ignore).wanted.volume ==
        "a");
}
