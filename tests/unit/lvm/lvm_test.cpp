#include "agent/lvm/lvm.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/api/error.h"
#include "tests/support/data_file.h"
#include "tests/support/scripted_runner.h"

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::lvm::Lvm;
using plexvol::process::Output;
using plexvol::support::read_data_file;
using plexvol::support::ScriptedRunner;
using Words = std::vector<std::string>;

namespace {

constexpr const char* kDisks =
    R"(["r|^/dev/drbd|","r|^/dev/loop|","r|^/dev/nbd|","r|^/dev/rbd|","r|^/dev/zd|","r|^/dev/plexvol/|"])";
constexpr const char* kOne = R"(["a|^/dev/vdb$|","r|.*|"])";
constexpr const char* kTwo = R"(["a|^/dev/vdb$|","a|^/dev/vdz$|","r|.*|"])";

constexpr const char* kMissingDevice =
    "  WARNING: Couldn't find device with uuid zUnd1L-aYQt-cUuS-dhmM-ZQn7-xcfZ-lVVB8E.\n"
    "  WARNING: VG vg0 is missing PV zUnd1L-aYQt-cUuS-dhmM-ZQn7-xcfZ-lVVB8E (last written to "
    "/dev/vdz).\n";
constexpr const char* kMissingGroup =
    "  Volume group \"vg0\" not found\n  Cannot process volume group vg0\n";

Words lvm(const std::string& tool, const std::string& filter, const Words& arguments) {
  Words argv = {"/sbin/" + tool, "--config",
                "devices{use_devicesfile=0 hints=\"none\" scan_lvs=0 filter=" + filter +
                    "} activation{retry_deactivation=1 monitoring=0} global{notify_dbus=0}"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

Words report(const std::string& tool, const std::string& filter, const std::string& fields,
             const std::string& subject) {
  return lvm(tool, filter,
             {"--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields, subject});
}

Words pvs() {
  return lvm("pvs", kDisks, {"--reportformat", "json", "-o", "pv_name,vg_name"});
}
Words vgs(const std::string& filter = kOne) {
  return report("vgs", filter, "vg_name,vg_size,vg_free,vg_extent_size,vg_missing_pv_count", "vg0");
}
Words lvs(const std::string& subject, const std::string& filter = kOne) {
  return report("lvs", filter, "vg_name,lv_name,lv_path,pool_lv,lv_size,lv_tags,lv_attr", subject);
}
Words pool_lvs(const std::string& subject) {
  return report("lvs", kOne,
                "vg_name,lv_name,lv_size,segtype,data_percent,metadata_percent,lv_attr,"
                "vg_extent_size,vg_missing_pv_count",
                subject);
}
Words origins() {
  return report("lvs", kOne, "vg_name,lv_name,pool_lv,origin", "vg0");
}
Output rows(const std::string& text) {
  return {.exit_code = 0, .out = "{\"report\": [{\"lv\": [" + text + "]}]}", .err = ""};
}

Output data(const std::string& name, const std::string& err = "") {
  return {.exit_code = 0, .out = read_data_file("lvm/" + name), .err = err};
}
Output failed(const std::string& err) {
  return {.exit_code = 5, .out = "", .err = err};
}

// With the group's physical volumes known.
struct Fixture {
  ScriptedRunner runner;
  Lvm tools{runner};

  Fixture() {
    runner.expect(pvs(), data("pvs.json")).expect(vgs(), data("vgs.json"));
    tools.get_volume_group("vg0");
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  ~Fixture() { CHECK(runner.is_done()); }
};

template <class Work>
Error error_of(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  FAIL("it did not throw");
  return {ErrorCode::Internal, ""};
}

bool mentions(const Error& error, const std::string& words) {
  return std::string(error.what()).find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("a group's physical volumes are looked up once, and then nothing else is looked at") {
  Fixture lab;
  lab.runner.expect(vgs(), data("vgs.json"));
  CHECK(lab.tools.get_volume_group("vg0").free_bytes == 1'598'029'824);
}

TEST_CASE("a group that no disk belongs to is not found") {
  ScriptedRunner runner;
  runner.expect(pvs(), data("pvs.json"));
  Lvm tools(runner);
  const Error error = error_of([&] { tools.get_volume_group("vg9"); });
  CHECK(error.code() == ErrorCode::NotFound);
  CHECK(mentions(error, "no volume group vg9"));
}

TEST_CASE("a search for disks that failed is an error, never an empty list") {
  ScriptedRunner runner;
  Output output = data("pvs.json");
  output.exit_code = 5;
  output.err = "out of order";
  runner.expect(pvs(), output);
  Lvm tools(runner);
  const Error error = error_of([&] { tools.list_logical_volumes("vg0"); });
  CHECK(error.code() == ErrorCode::Internal);
  CHECK(mentions(error, "out of order"));
}

TEST_CASE("a disk that came to the group is seen, and the command is run again with it") {
  Fixture lab;
  lab.runner.expect(lvs("vg0"), data("lvs.json", kMissingDevice));
  lab.runner.expect(pvs(), data("pvs-two.json"));
  lab.runner.expect(lvs("vg0", kTwo), data("lvs.json"));
  CHECK(lab.tools.list_logical_volumes("vg0").size() == 4);
}

TEST_CASE(
    "a disk that went away is looked for once per command, and the rest of the group is used") {
  Fixture lab;
  lab.runner.expect(lvs("vg0"), data("lvs.json", kMissingDevice));
  lab.runner.expect(pvs(), data("pvs-one-missing.json"));
  lab.runner.expect(lvs("vg0"), data("lvs.json", kMissingDevice));
  CHECK(lab.tools.list_logical_volumes("vg0").size() == 4);
  lab.runner.expect(pvs(), data("pvs-one-missing.json"));
  lab.runner.expect(lvs("vg0"), data("lvs.json", kMissingDevice));
  CHECK(lab.tools.list_logical_volumes("vg0").size() == 4);
}

TEST_CASE("a change that was made is not made again, even if lvm missed a disk") {
  Fixture lab;
  lab.runner.expect(lvm("lvchange", kOne, {"--addtag", "x", "vg0/v1"}),
                    {.exit_code = 0, .out = "", .err = kMissingDevice});
  lab.tools.add_tag("vg0", "v1", "x");
}

TEST_CASE("a change that was refused since a disk is missing is a conflict") {
  Fixture lab;
  const std::string words = std::string(kMissingDevice) +
                            "  Cannot change VG vg0 while PVs are missing.\n"
                            "  Cannot process volume group vg0\n";
  lab.runner.expect(lvm("lvchange", kOne, {"--addtag", "x", "vg0/v1"}), failed(words));
  lab.runner.expect(pvs(), data("pvs-one-missing.json"));
  lab.runner.expect(lvm("lvchange", kOne, {"--addtag", "x", "vg0/v1"}), failed(words));
  CHECK(error_of([&] { lab.tools.add_tag("vg0", "v1", "x"); }).code() == ErrorCode::Conflict);
}

TEST_CASE("a group whose disks have other names now is found again") {
  Fixture lab;
  lab.runner.expect(vgs(), failed(kMissingGroup));
  lab.runner.expect(pvs(), data("pvs-two.json"));
  lab.runner.expect(vgs(kTwo), data("vgs.json"));
  CHECK(lab.tools.get_volume_group("vg0").name == "vg0");
}

TEST_CASE("a group that is gone is not found") {
  Fixture lab;
  lab.runner.expect(vgs(), failed(kMissingGroup));
  lab.runner.expect(pvs(), data("pvs.json"));
  lab.runner.expect(vgs(), failed(kMissingGroup));
  CHECK(error_of([&] { lab.tools.get_volume_group("vg0"); }).code() == ErrorCode::NotFound);
}

TEST_CASE("a logical volume that is there is found, one that is not is none") {
  Fixture lab;
  lab.runner.expect(lvs("vg0/nope"), {.exit_code = 5,
                                      .out = read_data_file("lvm/lvs-none.json"),
                                      .err = "  Failed to find logical volume \"vg0/nope\"\n"});
  CHECK_FALSE(lab.tools.find_logical_volume("vg0", "nope").has_value());
  lab.runner.expect(lvs("vg0/v1"), failed("  Something else\n"));
  CHECK(error_of([&] { lab.tools.find_logical_volume("vg0", "v1"); }).code() ==
        ErrorCode::Internal);
}

TEST_CASE("a list that failed is an error, never an empty list") {
  Fixture lab;
  Output output = data("lvs-none.json");
  output.exit_code = 5;
  lab.runner.expect(lvs("vg0"), output);
  CHECK_THROWS_AS(lab.tools.list_logical_volumes("vg0"), Error);
}

TEST_CASE("a thin pool is in the list, so that its name counts as taken") {
  Fixture lab;
  lab.runner.expect(lvs("vg0"), data("lvs.json"));
  const auto volumes = lab.tools.list_logical_volumes("vg0");
  REQUIRE(volumes.size() == 4);
  CHECK(volumes[2].name == "thin");
  CHECK(volumes[2].path == "/dev/vg0/thin");
}

TEST_CASE("a thick logical volume is made zeroed and wiped, active for good, with its tags") {
  Fixture lab;
  lab.runner.expect(lvm(
      "lvcreate", kOne,
      {"--yes", "--setactivationskip", "n", "--name", "v1", "--addtag", "plexvol", "--addtag",
       "plexvol.id=abc", "--wipesignatures", "y", "--zero", "y", "--size", "68157440b", "vg0"}));
  lab.tools.create_logical_volume({.volume_group = "vg0",
                                   .name = "v1",
                                   .thin_pool = "",
                                   .size_bytes = 68'157'440,
                                   .tags = {"plexvol", "plexvol.id=abc"}});
}

TEST_CASE(
    "a thin logical volume is made in a pool that has room, larger than the pool if need be") {
  Fixture lab;
  lab.runner.expect(pool_lvs("vg0/thin"), data("thin-pool.json"));
  lab.runner.expect(
      lvm("lvcreate", kOne,
          {"--yes", "--setactivationskip", "n", "--name", "t1", "--thin", "--virtualsize",
           "68157440000b", "--thinpool", "vg0/thin"}),
      {.exit_code = 0, .out = "", .err = "  WARNING: Sum of all thin volume sizes exceeds...\n"});
  lab.tools.create_logical_volume({.volume_group = "vg0",
                                   .name = "t1",
                                   .thin_pool = "thin",
                                   .size_bytes = 68'157'440'000,
                                   .tags = {}});
}

TEST_CASE("nothing is made in a full thin pool") {
  Fixture lab;
  lab.runner.expect(pool_lvs("vg0/small"), data("thin-pool-full.json"));
  const Error error = error_of([&] {
    lab.tools.create_logical_volume({.volume_group = "vg0",
                                     .name = "t1",
                                     .thin_pool = "small",
                                     .size_bytes = 1 << 26,
                                     .tags = {}});
  });
  CHECK(error.code() == ErrorCode::OutOfSpace);
  CHECK(mentions(error, "data 100 %"));
}

TEST_CASE("why a logical volume could not be made is told by the code [D16]") {
  const std::pair<const char*, ErrorCode> cases[] = {
      {"  Volume group \"vg0\" has insufficient free space (364 extents): 16250 required.\n",
       ErrorCode::OutOfSpace},
      {"  Logical Volume \"v1\" already exists in volume group \"vg0\"\n",
       ErrorCode::AlreadyExists},
      {"  Pool nothin not found in Volume group vg0.\n", ErrorCode::NotFound},
      {"  Logical volume vg0/v1 is not a thin pool.\n", ErrorCode::InvalidArgument},
      {"  Free space in pool vg0/thin is above threshold, new volumes are not allowed.\n",
       ErrorCode::OutOfSpace},
      {"  VG vg0 13 metadata on /dev/vdb (557973 bytes) exceeds maximum metadata size (521472 "
       "bytes)\n  WARNING: Failed to write an MDA of VG vg0.\n  Failed to write VG vg0.\n",
       ErrorCode::OutOfSpace},
      {"  VG vg0 metadata on /dev/vdb (557973 bytes) too large for circular buffer (1044480 bytes "
       "with 4 used)\n",
       ErrorCode::OutOfSpace},
      {"  No such luck\n", ErrorCode::Internal},
  };
  for (const auto& one : cases) {
    CAPTURE(one.first);
    Fixture lab;
    lab.runner.expect(lvm("lvcreate", kOne,
                          {"--yes", "--setactivationskip", "n", "--name", "v1", "--wipesignatures",
                           "y", "--zero", "y", "--size", "68157440b", "vg0"}),
                      failed(one.first));
    const Error error = error_of([&] {
      lab.tools.create_logical_volume({.volume_group = "vg0",
                                       .name = "v1",
                                       .thin_pool = "",
                                       .size_bytes = 68'157'440,
                                       .tags = {}});
    });
    CHECK(error.code() == one.second);
    CHECK(mentions(error, "creating logical volume vg0/v1 of 68157440 bytes failed"));
  }
}

TEST_CASE("an inactive thin pool is activated to learn how full it is") {
  Fixture lab;
  lab.runner.expect(pool_lvs("vg0/thin"), data("thin-pool-inactive.json"));
  lab.runner.expect(
      lvm("lvchange", kOne, {"--activate", "y", "--ignoreactivationskip", "vg0/thin"}));
  lab.runner.expect(pool_lvs("vg0/thin"), data("thin-pool.json"));
  CHECK(lab.tools.get_thin_pool("vg0", "thin").metadata_percent > 0);
}

TEST_CASE("a thin pool that is another logical volume is not found") {
  Fixture lab;
  lab.runner.expect(pool_lvs("vg0/v1"), data("not-a-thin-pool.json"));
  CHECK(error_of([&] { lab.tools.get_thin_pool("vg0", "v1"); }).code() == ErrorCode::NotFound);
}

TEST_CASE("logical volumes are activated, deactivated, tagged and removed by name") {
  Fixture lab;
  lab.runner.expect(lvm("lvchange", kOne, {"--activate", "y", "--ignoreactivationskip", "vg0/v1"}));
  lab.runner.expect(lvm("lvchange", kOne, {"--activate", "n", "vg0/v1"}));
  lab.runner.expect(lvm("lvchange", kOne, {"--addtag", "a", "vg0/v1"}));
  lab.runner.expect(lvm("lvchange", kOne, {"--deltag", "a", "vg0/v1", "vg0/v2"}));
  lab.runner.expect(origins(), rows(""));
  lab.runner.expect(lvm("lvremove", kOne, {"--yes", "vg0/v1", "vg0/v2"}));
  lab.tools.activate("vg0", "v1");
  lab.tools.deactivate("vg0", "v1");
  lab.tools.add_tag("vg0", "v1", "a");
  lab.tools.remove_tag("vg0", {"v1", "v2"}, "a");
  lab.tools.remove_logical_volumes("vg0", {"v1", "v2"});
}

TEST_CASE("to remove what is gone is fine, to activate it is not") {
  Fixture lab;
  const std::string words = "  Failed to find logical volume \"vg0/v1\"\n";
  const Output none = rows("");
  lab.runner.expect(origins(), none);
  lab.runner.expect(lvm("lvremove", kOne, {"--yes", "vg0/v1"}), failed(words));
  lab.tools.remove_logical_volumes("vg0", {"v1"});
  // Of two, one is gone already.
  lab.runner.expect(origins(), none);
  lab.runner.expect(lvm("lvremove", kOne, {"--yes", "vg0/v1", "vg0/v2"}), failed(words));
  lab.runner.expect(origins(), none);
  lab.runner.expect(lvm("lvremove", kOne, {"--yes", "vg0/v1"}), failed(words));
  lab.runner.expect(origins(), none);
  lab.runner.expect(lvm("lvremove", kOne, {"--yes", "vg0/v2"}));
  lab.tools.remove_logical_volumes("vg0", {"v1", "v2"});
  lab.runner.expect(lvm("lvchange", kOne, {"--activate", "y", "--ignoreactivationskip", "vg0/v1"}),
                    failed(words));
  CHECK(error_of([&] { lab.tools.activate("vg0", "v1"); }).code() == ErrorCode::NotFound);
}

TEST_CASE("what is in use is a conflict") {
  for (const char* words : {"  Logical volume vg0/v1 in use.\n",
                            "  Logical volume vg0/v1 contains a filesystem in use.\n",
                            "  Logical volume vg0/v1 is used by another device.\n"}) {
    CAPTURE(words);
    Fixture lab;
    lab.runner.expect(origins(), rows(""));
    lab.runner.expect(lvm("lvremove", kOne, {"--yes", "vg0/v1"}), failed(words));
    const Error error = error_of([&] { lab.tools.remove_logical_volumes("vg0", {"v1"}); });
    CHECK(error.code() == ErrorCode::Conflict);
    CHECK(mentions(error, "/dev/vg0/v1 is held by: "));
  }
}

TEST_CASE("a logical volume is not removed while lvm would take others along [D16]") {
  Fixture lab;
  lab.runner.expect(origins(),
                    {.exit_code = 0, .out = read_data_file("lvm/lvs-origins.json"), .err = ""});
  const Error error = error_of([&] { lab.tools.remove_logical_volumes("vg0", {"v1.meta", "v1"}); });
  CHECK(error.code() == ErrorCode::Conflict);
  CHECK(mentions(error, "vg0/backup-of-v1 (of v1)"));
  // A thin snapshot of a thin volume outlives it.
  lab.runner.expect(origins(),
                    {.exit_code = 0, .out = read_data_file("lvm/lvs-origins.json"), .err = ""});
  lab.runner.expect(lvm("lvremove", kOne, {"--yes", "vg0/t1"}));
  lab.tools.remove_logical_volumes("vg0", {"t1"});
  // Both at once: that is what is wanted.
  lab.runner.expect(origins(),
                    {.exit_code = 0, .out = read_data_file("lvm/lvs-origins.json"), .err = ""});
  lab.runner.expect(lvm("lvremove", kOne, {"--yes", "vg0/v1", "vg0/backup-of-v1"}));
  lab.tools.remove_logical_volumes("vg0", {"v1", "backup-of-v1"});
  // Who cannot tell does not remove.
  lab.runner.expect(origins(), failed("  No such luck\n"));
  CHECK(error_of([&] { lab.tools.remove_logical_volumes("vg0", {"v1"}); }).code() ==
        ErrorCode::Internal);
}

TEST_CASE("lvm's log on stdout does not disturb its report, which has a descriptor [O1]") {
  Fixture lab;
  const std::string stray = "  Retrying metadata scan.\n";
  Output output = data("lvs.json");
  output.report = output.out;
  output.out = stray;
  lab.runner.expect(lvs("vg0"), output);
  CHECK(lab.tools.list_logical_volumes("vg0").size() == 4);
  for (const auto& command : lab.runner.calls()) {
    CHECK(command.report_variable == "LVM_REPORT_FD");
    CHECK_FALSE(command.subject.empty());
  }
  // An lvm that does not know of it: within the report, before it, behind it.
  const std::string report_text = read_data_file("lvm/lvs.json");
  for (const std::size_t at : {std::size_t{0}, report_text.find("\"lv\""),
                               report_text.find("\"lv_name\":\"t2\"") - 40, report_text.size()}) {
    const std::size_t line =
        report_text.rfind('\n', at) == std::string::npos ? 0 : report_text.rfind('\n', at) + 1;
    output.report.clear();
    output.out = std::string(report_text).insert(line, stray);
    CAPTURE(output.out);
    lab.runner.expect(lvs("vg0"), output);
    CHECK(lab.tools.list_logical_volumes("vg0").size() == 4);
  }
}

TEST_CASE("a group with a missing disk says so, and what lies on it is no whole volume [D16]") {
  Fixture lab;
  lab.runner.expect(vgs(), data("vgs-one-missing.json", kMissingDevice));
  lab.runner.expect(pvs(), data("pvs-one-missing.json"));
  lab.runner.expect(vgs(), data("vgs-one-missing.json", kMissingDevice));
  CHECK(lab.tools.get_volume_group("vg0").missing_devices == 1);
  lab.runner.expect(pvs(), data("pvs.json"));
  lab.runner.expect(lvs("vg0"), data("lvs-partial.json"));
  const auto volumes = lab.tools.list_logical_volumes("vg0");
  REQUIRE(volumes.size() == 2);
  CHECK(volumes[0].partial);
  lab.runner.expect(lvs("vg0"), data("lvs.json"));
  for (const auto& volume : lab.tools.list_logical_volumes("vg0")) CHECK_FALSE(volume.partial);
  lab.runner.expect(
      lvm("lvchange", kOne, {"--activate", "y", "--ignoreactivationskip", "vg0/v1"}),
      failed("  Refusing activation of partial LV vg0/v1.  Use '--activationmode partial' to "
             "override.\n"));
  CHECK(error_of([&] { lab.tools.activate("vg0", "v1"); }).code() == ErrorCode::Conflict);
}

TEST_CASE("names and tags that lvm could take for something else are refused before it is run") {
  ScriptedRunner runner;
  Lvm tools(runner);
  const auto code_for = [&](const std::string& group, const std::string& name,
                            const std::string& tag) {
    return error_of([&] { tools.add_tag(group, name, tag); }).code();
  };
  for (const std::string name : {"", "-f", "a/b", "@tag", ".", "..", "a b", "a\nb"}) {
    CAPTURE(name);
    CHECK(code_for("vg0", name, "tag") == ErrorCode::InvalidArgument);
    CHECK(code_for(name, "v1", "tag") == ErrorCode::InvalidArgument);
  }
  for (const std::string tag : {"", "-x", "a b", "a,b", "a@b", "\xc3\xa4"}) {
    CAPTURE(tag);
    CHECK(code_for("vg0", "v1", tag) == ErrorCode::InvalidArgument);
  }
  CHECK(runner.calls().empty());
}
