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
  CHECK_FALSE(wish.replicas.has_value());
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

TEST_CASE("options: one that is not known is refused, with the nearest that is [O7]") {
  const auto near = [](const std::string& name) {
    const std::string message = refusal({{kName, "a"}, {name, "2"}});
    CHECK(message.find("option \"" + name.substr(0, 80)) == 0);
    CHECK(message.find("Known are: volume, volumeID, size, replicas,") != std::string::npos);
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
  CHECK(parse_options({{kName, "a"}, {"colour", "red"}}, UnknownOptions::Ignore).volume == "a");
}

TEST_CASE(
    "options: the words for mkfs count until the volume is formatted, then they are told of [O6]") {
  model::Volume volume;
  volume.name = "data";
  volume.fs_type = "ext4";
  volume.mkfs_options = "-I 100";
  const Wish corrected = parse_options({{kName, "data"}, {"mkfsOptions", "-I  256"}});
  for (const auto format : {model::Format::Never, model::Format::Started}) {
    model::Volume fresh = volume;
    fresh.format = format;
    CHECK(adopt(corrected, fresh));
    CHECK(fresh.mkfs_options == "-I  256");
    CHECK_FALSE(adopt(corrected, fresh));
    CHECK(describe_unmet(corrected, fresh).empty());
    // Who says nothing takes nothing back.
    CHECK_FALSE(adopt(parse_options({{kName, "data"}}), fresh));
    CHECK_THROWS_AS(adopt(parse_options({{kName, "data"}, {"mkfsOptions", "-d /etc"}}), fresh),
                    Error);
  }
  volume.format = model::Format::Done;
  CHECK_FALSE(adopt(corrected, volume));
  CHECK(volume.mkfs_options == "-I 100");
  CHECK(describe_unmet(corrected, volume) ==
        "volume data was formatted with mkfsOptions \"-I 100\", so the options' \"-I  256\" change "
        "nothing");
  volume.mkfs_options = " -I 256 ";
  CHECK(describe_unmet(corrected, volume).empty());
}

TEST_CASE("options: more copies than the volume has are remembered, and told of [O7]") {
  model::Volume volume;
  volume.name = "data";
  const Wish two = parse_options({{kName, "data"}, {"replicas", "2"}});
  CHECK(adopt(two, volume));
  CHECK(volume.copies_asked == 2);
  CHECK_FALSE(adopt(two, volume));
  CHECK(describe_unmet(two, volume).find("volume data has 1 copy, and the options ask for 2") == 0);
  const Wish none = parse_options({{kName, "data"}});
  CHECK_FALSE(adopt(none, volume));
  CHECK(describe_unmet(none, volume).empty());
  SUBCASE("until fewer are asked for") {
    CHECK(adopt(parse_options({{kName, "data"}, {"replicas", "1"}}), volume));
    CHECK(volume.copies_asked == 0);
  }
  SUBCASE("or it has them") {
    volume.minor = 1000;
    CHECK(adopt(two, volume));
    CHECK(volume.copies_asked == 0);
    CHECK(describe_unmet(two, volume).empty());
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
