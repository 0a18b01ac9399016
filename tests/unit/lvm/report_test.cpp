#include "agent/lvm/report.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/lvm/lvm.h"
#include "tests/support/data_file.h"

using plexvol::Error;
using plexvol::lvm::accept_only;
using plexvol::lvm::LogicalVolume;
using plexvol::lvm::parse_logical_volumes;
using plexvol::lvm::parse_physical_volumes;
using plexvol::lvm::parse_thin_pools;
using plexvol::lvm::parse_volume_groups;
using plexvol::support::read_data_file;
using Words = std::vector<std::string>;

TEST_CASE("logical volumes are read from lvm's report") {
  const auto volumes = parse_logical_volumes(read_data_file("lvm/lvs.json"));
  REQUIRE(volumes.size() == 4);
  const LogicalVolume& thin = volumes[0];
  CHECK(thin.volume_group == "vg0");
  CHECK(thin.name == "t1");
  CHECK(thin.path == "/dev/vg0/t1");
  CHECK(thin.thin_pool == "thin");
  CHECK(thin.size_bytes == 71'303'168);
  CHECK(thin.tags == Words{"plexvol"});
  CHECK(thin.active);
  const LogicalVolume& thick = volumes[3];
  CHECK(thick.name == "v1");
  CHECK(thick.thin_pool.empty());
  CHECK(thick.tags == Words{"plexvol", "plexvol.id=abc"});
  CHECK(volumes[1].size_bytes == 68'157'440'000);
  CHECK(volumes[1].tags.empty());
}

TEST_CASE("a suspended logical volume counts as inactive: activating resumes it") {
  const auto volumes = parse_logical_volumes(read_data_file("lvm/lvs-one-suspended.json"));
  REQUIRE(volumes.size() == 3);
  CHECK(volumes[0].active);
  CHECK_FALSE(volumes[2].active);
}

TEST_CASE("no logical volumes are none") {
  CHECK(parse_logical_volumes(read_data_file("lvm/lvs-none.json")).empty());
}

TEST_CASE("volume groups are read from lvm's report") {
  const auto groups = parse_volume_groups(read_data_file("lvm/vgs.json"));
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].name == "vg0");
  CHECK(groups[0].size_bytes == 3'217'031'168);
  CHECK(groups[0].free_bytes == 1'598'029'824);
  CHECK(groups[0].extent_bytes == 4'194'304);
}

TEST_CASE("thin pools are read from lvm's report, other logical volumes are none") {
  const auto pools = parse_thin_pools(read_data_file("lvm/thin-pool-full.json"));
  REQUIRE(pools.size() == 1);
  CHECK(pools[0].volume_group == "vg0");
  CHECK(pools[0].name == "small");
  CHECK(pools[0].size_bytes == 16'777'216);
  CHECK(pools[0].data_percent == doctest::Approx(100));
  CHECK(pools[0].metadata_percent == doctest::Approx(11.13));
  CHECK(pools[0].active);
  CHECK_FALSE(parse_thin_pools(read_data_file("lvm/thin-pool-inactive.json")).at(0).active);
  CHECK(parse_thin_pools(read_data_file("lvm/not-a-thin-pool.json")).empty());
}

TEST_CASE("numbers may be numbers, as newer lvm prints them") {
  const auto groups = parse_volume_groups(
      R"({"report": [{"vg": [{"vg_name": "a", "vg_size": 8, "vg_free": 4, "vg_extent_size": 2,
                     "vg_missing_pv_count": 0}]}]})");
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].size_bytes == 8);
}

TEST_CASE("what is missing or no number in a report is an error that names it") {
  const std::pair<const char*, const char*> cases[] = {
      {"", "not a report"},
      {"{}", "not a report"},
      {"[1]", "not a report"},
      {R"({"report": 1})", "not a report"},
      {R"({"report": [{}]})", "no section vg"},
      {R"({"report": [1]})", "no section vg"},
      {R"({"report": [{"vg": {}}]})", "no section vg"},
      {R"({"report": [{"vg": [{"vg_name": "a"}]}]})", "no field vg_size"},
      {R"({"report": [{"vg": [1]}]})", "no field vg_name"},
      {R"({"report": [{"vg": [{"vg_name": "a", "vg_size": "1.00g"}]}]})", "no number in vg_size"},
      {R"({"report": [{"vg": [{"vg_name": "a", "vg_size": ""}]}]})", "no number in vg_size"},
      {R"({"report": [{"vg": [{"vg_name": "a", "vg_size": null}]}]})", "vg_size"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.first);
    try {
      parse_volume_groups(one.first);
      FAIL("it did not throw");
    } catch (const Error& error) {
      CHECK(error.code() == plexvol::ErrorCode::Internal);
      CHECK(std::string(error.what()).find(one.second) != std::string::npos);
    }
  }
}

TEST_CASE("a group's physical volumes are its own that are there") {
  CHECK(parse_physical_volumes(read_data_file("lvm/pvs-two.json"), "vg0") ==
        Words{"/dev/vdb", "/dev/vdz"});
  CHECK(parse_physical_volumes(read_data_file("lvm/pvs-two.json"), "vg1").empty());
  CHECK(parse_physical_volumes(read_data_file("lvm/pvs-one-missing.json"), "vg0") ==
        Words{"/dev/vdb"});
}

TEST_CASE("the device filter accepts exactly the named devices and ends with rejecting all") {
  CHECK(accept_only({"/dev/sdb", "/dev/mapper/mpath-a.1"}) ==
        R"(["a|^/dev/sdb$|","a|^/dev/mapper/mpath-a[.]1$|","r|.*|"])");
  for (const std::string device : {"/dev/a|b", "/dev/a\"b", "/dev/a b", "/dev/a\\b", "/dev/a^b"}) {
    CAPTURE(device);
    CHECK_THROWS_AS(accept_only({device}), Error);
  }
}

TEST_CASE("a report is read whatever bytes the names of others hold [O1]") {
  const std::string report = read_data_file("lvm/lvs.json");
  for (const std::string bytes : {"\xff\xfe", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\nb",
                                  "\t", "\xc3\xa4", "\\\"", "\xe2\x82"}) {
    CAPTURE(bytes);
    std::string changed = report;
    changed.insert(changed.find("t2"), bytes);
    const auto volumes = parse_logical_volumes(changed);
    REQUIRE(volumes.size() == 4);
    CHECK(volumes[0].name == "t1");
    CHECK(volumes[1].name != "t2");
    CHECK(volumes[3].name == "v1");
  }
}

TEST_CASE("a row that cannot be read concerns that logical volume alone [O1]") {
  std::string report = read_data_file("lvm/lvs.json");
  report.replace(report.find("71303168"), 8, "huge");
  const auto volumes = parse_logical_volumes(report);
  REQUIRE(volumes.size() == 4);
  CHECK(volumes[0].name == "t1");
  CHECK(volumes[0].unreadable == "lvm's report has no number in lv_size: \"huge\"");
  CHECK(volumes[3].unreadable.empty());
  // Whose row it is must be known.
  report.replace(report.find("lv_name"), 7, "lv_mane");
  CHECK_THROWS_AS(parse_logical_volumes(report), Error);
}

TEST_CASE("what is no report is an error, never an empty list [O1]") {
  for (const std::string text :
       {"", "  Retrying metadata scan.\n", "{}", "[]", R"({"report": {}})", R"({"report": ["x"]})",
        R"({"report": [{"lv": ["x"]}]})", R"({"report": [{"lv": [)", R"({"report": [{"vg": []}]})",
        "\xff"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_logical_volumes(text), Error);
  }
}
