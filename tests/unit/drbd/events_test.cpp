#include "agent/drbd/events.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/api/error.h"
#include "agent/drbd/drbd.h"
#include "tests/support/data_file.h"

using plexvol::Error;
using plexvol::drbd::find_field;
using plexvol::drbd::parse_endpoints;
using plexvol::drbd::parse_event_line;
using plexvol::drbd::parse_events2;
using plexvol::drbd::ResourceState;
using plexvol::support::read_data_file;

namespace {

// As a person would say it: role, suspended; disk; connection, peer's role and disk; replication.
std::string summary(const ResourceState& state) {
  return state.role + " " + state.suspended + "; " + state.disk_state + "; " + state.connection +
         " " + state.peer_role + "/" + state.peer_disk_state + "; " + state.replication;
}

}  // namespace

TEST_CASE("events2: what a real kernel printed in each situation is understood") {
  struct Case {
    std::string file;
    std::string expected;
  };
  for (const Case& given : {
           Case{"connected-primary",
                "Primary no; UpToDate; Connected Secondary/UpToDate; Established"},
           Case{"connected-secondary",
                "Secondary no; UpToDate; Connected Primary/UpToDate; Established"},
           Case{"frozen-primary", "Primary fencing; UpToDate; Connecting Unknown/DUnknown; Off"},
           Case{"peer-lost-secondary", "Secondary no; UpToDate; Connecting Unknown/DUnknown; Off"},
           Case{"alone-primary", "Primary no; UpToDate; Connecting Unknown/Outdated; Off"},
           Case{"sync-source",
                "Primary no; UpToDate; Connected Secondary/Inconsistent; SyncSource"},
           Case{"sync-target",
                "Secondary no; Inconsistent; Connected Primary/UpToDate; SyncTarget"},
           Case{"diskless-primary",
                "Primary no; Diskless; Connected Secondary/UpToDate; Established"},
           Case{"standalone-outdated-secondary",
                "Secondary no; Outdated; StandAlone Unknown/DUnknown; Off"},
           Case{"split-brain-winner", "Primary no; UpToDate; StandAlone Unknown/Outdated; Off"},
           Case{"split-brain-frozen",
                "Primary fencing; UpToDate; StandAlone Unknown/DUnknown; Off"},
       }) {
    CAPTURE(given.file);
    const auto resources = parse_events2(read_data_file("drbd/events2-" + given.file + ".txt"));
    REQUIRE(resources.contains("v1"));
    CHECK(summary(resources.at("v1")) == given.expected);
    CHECK(resources.at("v1").minor == 1000);
  }
}

TEST_CASE("events2: several resources are kept apart") {
  const auto resources = parse_events2(read_data_file("drbd/events2-split-brain-winner.txt"));
  CHECK(resources.size() == 2);
  CHECK(resources.at("t1").minor == 1001);
  CHECK(resources.at("t1").connection == "Connected");
}

TEST_CASE("events2: the progress of a resync is the share of the device that is in sync") {
  const auto target = parse_events2(read_data_file("drbd/events2-sync-target.txt")).at("v1");
  CHECK(target.out_of_sync_bytes == 155776U * 1024U);
  CHECK(target.synced_percent == doctest::Approx(100.0 * (204800 - 155776) / 204800));
  const auto calm = parse_events2(read_data_file("drbd/events2-connected-primary.txt")).at("v1");
  CHECK(calm.out_of_sync_bytes == 0);
  CHECK(calm.synced_percent == 100);
}

TEST_CASE("events2: a resource that has moved a single byte is told from one that was only made") {
  const auto is_untouched = [](const std::string& file) {
    return parse_events2(read_data_file("drbd/events2-" + file + ".txt")).at("v1").untouched;
  };
  CHECK(is_untouched("connected-primary"));
  for (const std::string file :
       {"diskless-primary", "standalone-outdated-secondary", "sync-target"}) {
    CAPTURE(file);
    CHECK_FALSE(is_untouched(file));
  }
}

TEST_CASE("events2: no resource at all is an empty list") {
  CHECK(parse_events2("exists -\n").empty());
}

TEST_CASE("events2: a list that was cut off is an error, never a shorter list") {
  const std::string whole = read_data_file("drbd/events2-split-brain-winner.txt");
  CHECK_THROWS_AS(parse_events2(whole.substr(0, whole.size() - 10)), Error);
  CHECK_THROWS_AS(parse_events2(""), Error);
}

TEST_CASE("events2: unknown words, objects and lines are passed over") {
  const auto resources = parse_events2(
      "exists resource name:v1 new-word:1 role:Secondary suspended:no\n"
      "exists path name:v1 established:yes\n"
      "hello\n"
      "\n"
      "exists device name:v1 volume:0 minor:7 disk:UpToDate client:no backing_dev:/dev/x\n"
      "exists -\n");
  CHECK(resources.at("v1").minor == 7);
  CHECK(resources.at("v1").connection.empty());
}

TEST_CASE("events2: a missing or broken needed word is an error") {
  for (const std::string line : {
           "exists resource name:v1 suspended:no",
           "exists resource name:v1 role:Primary",
           "exists device name:v1 volume:0 disk:UpToDate",
           "exists device name:v1 volume:0 minor:x disk:UpToDate",
           "exists device name:v1 volume:0 minor:12x disk:UpToDate",
           "exists device name:v1 volume:0 minor:99999999999 disk:UpToDate",
           "exists device name:v1 volume:0 minor:12 disk:UpToDate size:many",
           "exists connection name:v1 role:Primary",
           "exists peer-device name:v1 replication:Off",
       }) {
    CAPTURE(line);
    CHECK_THROWS_AS(parse_events2(line + "\nexists -\n"), Error);
  }
}

TEST_CASE("event lines: action, object and fields are told apart") {
  const auto line = parse_event_line("change device name:t1 volume:0 minor:1001 disk:Failed");
  REQUIRE(line);
  CHECK(line->action == "change");
  CHECK(line->object == "device");
  CHECK(find_field(line->fields, "name") == "t1");
  CHECK(find_field(line->fields, "disk") == "Failed");
  CHECK(find_field(line->fields, "dis").empty());
  CHECK(find_field(line->fields, "size").empty());
  CHECK_FALSE(parse_event_line(""));
  CHECK_FALSE(parse_event_line("exists"));
  CHECK(find_field("name:v1 local:ipv4:10.0.0.1:7000", "local") == "ipv4:10.0.0.1:7000");
}

TEST_CASE("drbdsetup show: the ends of a connection are read as disconnect wants them") {
  const auto ipv4 = parse_endpoints(read_data_file("drbd/show.txt"));
  REQUIRE(ipv4);
  CHECK(ipv4->local == "ipv4:10.77.0.1:7001");
  CHECK(ipv4->peer == "ipv4:10.77.0.2:7001");
  const auto ipv6 = parse_endpoints(read_data_file("drbd/show-ipv6.txt"));
  REQUIRE(ipv6);
  CHECK(ipv6->local == "ipv6:[fd00::1]:7001");
  CHECK(ipv6->peer == "ipv6:[fd00::2]:7001");
}

TEST_CASE("drbdsetup show: without a connection there are no ends") {
  CHECK_FALSE(parse_endpoints(read_data_file("drbd/show-without-connection.txt")));
  CHECK_FALSE(parse_endpoints(""));
  CHECK_FALSE(parse_endpoints("_this_host { address ipv4"));
}
