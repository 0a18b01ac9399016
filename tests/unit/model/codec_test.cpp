// What a record is read as, and what is left of it when it is written again.
#include "agent/model/codec.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"

using namespace plexvol;  // NOLINT(google-build-using-namespace)
using nlohmann::json;

namespace {

// As an agent of 0.1.0 writes them.
json volume_record() {
  return {{"name", "v"},
          {"id", "an id"},
          {"size_bytes", 1 << 30},
          {"pool", "thick"},
          {"replicas",
           {{{"node", "n1"}, {"made", true}, {"filled_by_peer", false}, {"number", 0}},
            {{"node", "n2"}, {"made", false}, {"filled_by_peer", true}, {"number", 1}}}},
          {"former", {"n3"}},
          {"fs_type", "ext4"},
          {"mkfs_options", "-m 0"},
          {"minor", 1007},
          {"port", 7007},
          {"secret", "hush"},
          {"current_uuid", "0123456789abcde8"},
          {"format", "Done"},
          {"deleting", false},
          {"copies_asked", 2},
          {"filesystem_grows", false}};
}

json current_record() {
  const json forced{{"node", "n1"}, {"at", 17}, {"by", "root"}, {"disk_state", "UpToDate"}};
  return {{"epoch", 7},
          {"nodes", {"n1"}},
          {"left", {{"n2", 1700000000}}},
          {"forced", forced},
          {"last_forced", forced}};
}

json attachment_record() {
  return {{"node", "n1"},
          {"since", 1700000000},
          {"holder", "attach"},
          {"names", {"pv-1"}},
          {"release", {{"id", "r"}, {"reason", "mount on n2"}}},
          {"silent_session", "s"}};
}

json status_record() {
  return {{"session", "s"},
          {"attachment_revision", 9},
          {"ready", true},
          {"device", "/dev/dm"},
          {"role", "Primary"},
          {"disk_state", "UpToDate"},
          {"connection", "Connected"},
          {"synced_percent", 99.5},
          {"out_of_sync_bytes", 4096},
          {"backing_gone", true},
          {"mounts", {"/a"}},
          {"refused_release", "r"},
          {"error_code", "Conflict"},
          {"error", "why"},
          {"device_bytes", 1 << 30}};
}

json node_record() {
  return {{"name", "n1"},
          {"address", "10.0.0.1"},
          {"version", "0.1.0"},
          {"drbd_version", "8.4.11"},
          {"mirror_error", "none"},
          {"pools",
           {{{"name", "thick"},
             {"type", "lvm"},
             {"total_bytes", 2000},
             {"free_bytes", 1000},
             {"error", "full"},
             {"extent_bytes", 4096},
             {"max_promised_percent", 150}}}},
          {"kernel", "6.1.0"}};
}

json cordon_record() {
  return {{"drain", true}, {"forget", true}, {"since", 1700000000}};
}

template <class T>
json written_again(const json& record) {
  return json::parse(model::to_json(model::from_json<T>(record.dump())));
}

template <class T>
std::string refusal(const std::string& text) {
  try {
    model::from_json<T>(text);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Internal);
    return error.what();
  }
  return "(read)";
}

// With something that no version knows, also inside of lists and objects.
void add_unknown(json& record) {
  record["~flat"] = 17;
  record["~deep"] = {{"list", {1, "two", nullptr, {{"x", 1.5}}}}};
}

template <class T>
void check_kept(json record, const std::vector<std::string>& parts) {
  CHECK(written_again<T>(record) == record);
  add_unknown(record);
  for (const std::string& part : parts) add_unknown(record[json::json_pointer(part)]);
  CHECK(written_again<T>(record) == record);
}

// With each member left out in turn: those that are needed are named, all others have a default.
template <class T>
void check_missing(const json& record, const std::vector<std::string>& needed) {
  std::vector<std::string> missed;
  const json flat = record.flatten();
  for (const auto& [path, value] : flat.items()) {
    json less = record;
    const json::json_pointer place(path);
    if (less.contains(place) && less[place.parent_pointer()].is_object()) {
      less[place.parent_pointer()].erase(place.back());
      const std::string said = refusal<T>(less.dump());
      if (said == "(read)") continue;
      CAPTURE(said);
      CHECK(said.ends_with(place.back() + " is missing"));
      missed.push_back(said.substr(0, said.find(' ')));
    }
  }
  CHECK(missed == needed);
}

}  // namespace

TEST_CASE("records: what a version does not know is written again, wherever it stands [D6]") {
  check_kept<model::Volume>(volume_record(), {"/replicas/0", "/replicas/1"});
  check_kept<model::Current>(current_record(), {"/forced", "/last_forced"});
  check_kept<model::Attachment>(attachment_record(), {"/release"});
  check_kept<model::Status>(status_record(), {});
  check_kept<model::Node>(node_record(), {"/pools/0"});
  check_kept<model::Cordon>(cordon_record(), {});
  check_kept<model::Tenant>({{"volume_id", "x"}, {"namespace", "ns"}}, {});
  check_kept<model::Schema>({{"writers", 1}, {"by", "0.1.0"}}, {});
  check_kept<model::Machine>({{"id", "x"}, {"since", 1}}, {});
}

TEST_CASE("records: a known member that has gone is not brought back by the unknown ones [D6]") {
  json record = attachment_record();
  add_unknown(record);
  auto attachment = model::from_json<model::Attachment>(record.dump());
  attachment.release.reset();
  attachment.silent_session.clear();
  record.erase("release");
  record.erase("silent_session");
  CHECK(json::parse(model::to_json(attachment)) == record);
}

TEST_CASE("records: a member that is missing has its default, unless data depends on it [D6]") {
  check_missing<model::Volume>(
      volume_record(), {"current_uuid", "format", "fs_type", "id", "minor", "name", "pool", "port",
                        "replicas[0].made", "replicas[0].node", "replicas[1].made",
                        "replicas[1].node", "secret", "size_bytes"});
  check_missing<model::Current>(current_record(), {"epoch", "forced.node", "last_forced.node"});
  check_missing<model::Attachment>(attachment_record(), {"holder", "node", "release.id"});
  check_missing<model::Status>(status_record(), {});
  check_missing<model::Node>(node_record(), {"name", "pools[0].name"});
  check_missing<model::Cordon>(cordon_record(), {});
  check_missing<model::Tenant>({{"volume_id", "x"}, {"namespace", "ns"}},
                               {"namespace", "volume_id"});
  CHECK(refusal<model::Volume>(R"({"name": "v"})") == "id is missing");
  json record = current_record();
  record.erase("nodes");
  CHECK(refusal<model::Current>(record.dump()) == "nodes is missing");
  record = volume_record();
  record.erase("replicas");
  CHECK(refusal<model::Volume>(record.dump()) == "replicas is missing");
}

TEST_CASE("records: a number that is none of its kind is refused, never rounded or cut [D6] [S6]") {
  const auto with = [](const char* place, const json& value) {
    json record = volume_record();
    record[json::json_pointer(place)] = value;
    return refusal<model::Volume>(record.dump());
  };
  CHECK(with("/size_bytes", 1e300) ==
        "size_bytes is 1e+300, not a whole number from 0 to 9223372036854775807");
  for (const json& size :
       {json(-1), json(1.5), json(std::uint64_t{1} << 63U), json("1"), json(nullptr), json(true)}) {
    CAPTURE(size.dump());
    CHECK(with("/size_bytes", size).starts_with("size_bytes is "));
  }
  CHECK(with("/port", 65536).starts_with("port is 65536"));
  CHECK(with("/minor", 1 << 30).starts_with("minor is 1073741824"));
  CHECK(with("/replicas/1/number", -1).starts_with("replicas[1].number is -1"));
  CHECK(with("/size_bytes", std::uint64_t{1} << 62U) == "(read)");
  json record = current_record();
  record["epoch"] = 18446744073709551616.0;
  CHECK(refusal<model::Current>(record.dump()).starts_with("epoch is "));
  record["epoch"] = 18446744073709551615ULL;
  CHECK(model::from_json<model::Current>(record.dump()).epoch == 18446744073709551615ULL);
  record["left"]["n2"] = -5;
  CHECK(model::from_json<model::Current>(record.dump()).left.at("n2") == -5);
  record = status_record();
  record["synced_percent"] = 1e300;
  CHECK(refusal<model::Status>(record.dump()) == "synced_percent is not from 0 to 100");
}

TEST_CASE("records: garbage is refused in words that show nothing of it [D6]") {
  CHECK(refusal<model::Volume>("") == "it is not JSON (error at byte 1)");
  CHECK(refusal<model::Volume>("[]") == "it is not an object");
  CHECK(refusal<model::Volume>("null") == "it is not an object");
  CHECK(refusal<model::Volume>(std::string(1 << 20, '[')) == "it is nested too deeply");
  CHECK(refusal<model::Volume>("\xff\xfe").starts_with("it is not JSON"));
  CHECK(refusal<model::Volume>(R"({"size_bytes": 1e999})") ==
        "it holds a number that is out of range");
  CHECK(refusal<model::Volume>(R"({"secret": "hush" "hush"})").find("hush") == std::string::npos);
  json record = volume_record();
  record["replicas"] = {"n1"};
  CHECK(refusal<model::Volume>(record.dump()) == "replicas[0] is not an object");
  record["replicas"] = 7;
  CHECK(refusal<model::Volume>(record.dump()) == "replicas is not a list");
  record = volume_record();
  record["format"] = "Encrypted";
  CHECK(refusal<model::Volume>(record.dump()) ==
        "format is \"Encrypted\", which this version does not know");
  record = current_record();
  record["forced"] = nullptr;
  CHECK(refusal<model::Current>(record.dump()) == "forced is not an object");
}

TEST_CASE("records: reports are written whatever bytes their words hold") {
  model::Status status;
  status.error = "said \xff";
  CHECK(model::from_json<model::Status>(model::to_json(status)).error == "said \xEF\xBF\xBD");
}

TEST_CASE("records: what is known of a volume's set comes back as it was written [D19]") {
  const std::string history =
      R"({"changes":[{"epoch":1,"id":"a"},{"epoch":2,"id":"b","later":7}],"new":1})";
  CHECK(json::parse(to_json(model::from_json<model::History>(history))) == json::parse(history));
  model::Acted acted{.volume = "v",
                     .volume_id = "an id",
                     .epoch = 7,
                     .id = "x",
                     .nodes = {"n1", "n2"},
                     .formatted = true,
                     .record = "{\"a\":1}"};
  acted.history.changes = {{.epoch = 6, .id = "w"}, {.epoch = 7, .id = "x"}};
  acted.unknown.members = R"({"later":7})";
  CHECK(model::from_json<model::Acted>(to_json(acted)) == acted);
  const std::string turned = R"({"node":"n1","at":7,"what":"another etcd","later":[1]})";
  CHECK(json::parse(to_json(model::from_json<model::RolledBack>(turned))) == json::parse(turned));
  CHECK_THROWS_AS(model::from_json<model::History>(R"({"changes":[{"id":"a"}]})"), Error);
  CHECK_THROWS_AS(model::from_json<model::Acted>(R"({"volume":"v"})"), Error);
}
