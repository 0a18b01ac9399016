#include "agent/volumes/wanted.h"

#include <doctest/doctest.h>

#include "agent/api/error.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)

namespace {

Wanted of_data() {
  Wanted wanted;
  wanted.volume = "data";
  return wanted;
}

Wanted with_mkfs_options(const std::string& words) {
  Wanted wanted = of_data();
  wanted.mkfs_options = words;
  return wanted;
}

Wanted with_replicas(unsigned replicas) {
  Wanted wanted = of_data();
  wanted.replicas = replicas;
  return wanted;
}

}  // namespace

TEST_CASE(
    "wanted: the words for mkfs count until the volume is formatted, then they are told of [O6]") {
  model::Volume volume;
  volume.name = "data";
  volume.fs_type = "ext4";
  volume.mkfs_options = "-I 100";
  const Wanted corrected = with_mkfs_options("-I  256");
  for (const auto format : {model::Format::Never, model::Format::Started}) {
    model::Volume fresh = volume;
    fresh.format = format;
    CHECK(take_on(corrected, fresh));
    CHECK(fresh.mkfs_options == "-I  256");
    CHECK_FALSE(take_on(corrected, fresh));
    CHECK(describe_unmet(corrected, fresh).empty());
    // Who says nothing takes nothing back.
    CHECK_FALSE(take_on(of_data(), fresh));
    CHECK_THROWS_AS(take_on(with_mkfs_options("-d /etc"), fresh), Error);
  }
  volume.format = model::Format::Done;
  CHECK_FALSE(take_on(corrected, volume));
  CHECK(volume.mkfs_options == "-I 100");
  CHECK(describe_unmet(corrected, volume) ==
        "volume data was formatted with mkfsOptions \"-I 100\"; \"-I  256\" has no effect now");
  volume.mkfs_options = " -I 256 ";
  CHECK(describe_unmet(corrected, volume).empty());
}

TEST_CASE("wanted: more copies than the volume has are remembered, and told of [O7]") {
  model::Volume volume;
  volume.name = "data";
  const Wanted two = with_replicas(2);
  CHECK(take_on(two, volume));
  CHECK(volume.copies_asked == 2);
  CHECK_FALSE(take_on(two, volume));
  CHECK(describe_unmet(two, volume).find("volume data has 1 replica, but 2 are requested") == 0);
  const Wanted none = of_data();
  CHECK_FALSE(take_on(none, volume));
  CHECK(describe_unmet(none, volume).empty());
  SUBCASE("also when another manifest asks for fewer") {
    CHECK_FALSE(take_on(with_replicas(1), volume));
    CHECK(volume.copies_asked == 2);
  }
  SUBCASE("or it has them") {
    volume.minor = 1000;
    CHECK(take_on(two, volume));
    CHECK(volume.copies_asked == 0);
    CHECK(describe_unmet(two, volume).empty());
  }
}

TEST_CASE("wanted: who asks for two copies keeps them") {
  model::Volume volume;
  volume.name = "data";
  volume.minor = 1000;
  volume.copies_asked = 1;
  volume.leaving = "n2";
  CHECK_FALSE(take_on(of_data(), volume));
  CHECK_FALSE(take_on(with_replicas(1), volume));
  CHECK(take_on(with_replicas(2), volume));
  CHECK(volume.copies_asked == 0);
  CHECK(volume.leaving.empty());
  SUBCASE("but a copy of two that moves goes on") {
    volume.leaving = "n2";
    CHECK_FALSE(take_on(with_replicas(2), volume));
    CHECK(volume.leaving == "n2");
  }
}

TEST_CASE("wanted: another volume of the same name is told apart") {
  model::Volume volume;
  volume.name = "data";
  volume.size_bytes = 1ULL << 30;
  volume.fs_type = "ext4";
  volume.pool = "p";
  const auto differs = [&](std::uint64_t size_bytes, const std::string& fs_type,
                           const std::string& pool) {
    Wanted wanted = of_data();
    if (size_bytes > 0) wanted.size_bytes = size_bytes;
    wanted.fs_type = fs_type;
    wanted.pool = pool;
    try {
      check_same_volume(wanted, volume);
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  CHECK_FALSE(differs(1ULL << 30, "ext4", "p"));
  CHECK_FALSE(differs(512ULL << 20, "", ""));  // it may have grown since
  CHECK(differs(2ULL << 30, "", ""));
  CHECK(differs(0, "xfs", ""));
  CHECK(differs(0, "", "q"));
}

TEST_CASE("wanted: whatever door it came by, all of it is checked") {
  CHECK_NOTHROW(check(of_data()));
  CHECK_NOTHROW(check(with_replicas(2)));
  CHECK_THROWS_AS(check(with_replicas(3)), Error);
  CHECK_THROWS_AS(check(Wanted{}), Error);  // no name
  Wanted wanted = of_data();
  for (std::string Wanted::*field :
       {&Wanted::volume, &Wanted::pool, &Wanted::fs_type, &Wanted::tenant}) {
    wanted = of_data();
    wanted.*field = "../x";
    CHECK_THROWS_AS(check(wanted), Error);
  }
}
