// A pool that is not on this node: meant, or missed.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "agent/doctor/look.h"
#include "agent/model/codec.h"
#include "agent/store/file_store.h"
#include "tests/support/data_file.h"
#include "tests/support/scripted_runner.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol;  // NOLINT(google-build-using-namespace)
namespace keys = store::keys;

namespace {

constexpr const char* kConfig =
    R"(devices{use_devicesfile=0 hints="none" scan_lvs=0 filter=["r|^/dev/drbd|","r|^/dev/loop|",)"
    R"("r|^/dev/nbd|","r|^/dev/rbd|","r|^/dev/zd|","r|^/dev/plexvol/|"]} )"
    R"(activation{retry_deactivation=1 monitoring=0} global{notify_dbus=0})";

// This is n1, with the pool `fast` and without the directory of `big`, which n2 has.
struct Case {
  support::TemporaryDirectory directory;
  support::ScriptedRunner runner;
  store::FileStore raw{directory.path() / "store"};
  store::TypedStore store{raw};
  doctor::Subject subject;

  Case() {
    std::filesystem::create_directory(directory.path() / "fast");
    subject.here = "n1";
    subject.pools = {file_pool("fast"), file_pool("big")};
    subject.state_directory = directory.path();
    subject.store = &store;
    put(keys::node("n1"), model::to_json(node("n1", {{"fast", ""}, {"big", "not there"}})));
    put(keys::node("n2"), model::to_json(node("n2", {{"big", ""}})));
  }

  struct Reported {
    const char* pool;
    const char* error;
  };
  static model::Node node(const std::string& name, const std::vector<Reported>& pools) {
    model::Node node;
    node.name = name;
    for (const auto& [pool, error] : pools) node.pools.push_back({pool, "file", 10, 5, error});
    return node;
  }
  reconcile::PoolSettings file_pool(const std::string& name) const {
    return {.name = name,
            .type = "file",
            .volume_group = "",
            .thin_pool = "",
            .directory = directory.path() / name};
  }
  void put(const std::string& key, const std::string& value) {
    store.commit(store::Change().put(key, value));
  }
  void add_volume(const std::string& name, const std::string& pool,
                  const std::vector<model::Replica>& replicas,
                  const std::set<std::string>& former = {}) {
    model::Volume volume;
    volume.name = name;
    volume.id = "id-of-" + name;
    volume.pool = pool;
    volume.replicas = replicas;
    volume.former = former;
    put(keys::volume(name), model::to_json(volume));
  }

  api::Finding look(const std::string& pool) {
    doctor::Report report;
    doctor::look_at_pools({subject, runner, report});
    const auto found =
        std::find_if(report.findings.begin(), report.findings.end(),
                     [&](const api::Finding& finding) { return finding.what == "pool " + pool; });
    REQUIRE(found != report.findings.end());
    return *found;
  }
};

bool says(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("doctor: a pool that only other nodes have, and no copy here needs, is no fault") {
  Case c;
  c.add_volume("v", "big", {{"n2", true}});
  c.add_volume("w", "fast", {{"n1", true}});
  CHECK(c.look("fast").level == "ok");
  const auto big = c.look("big");
  CHECK(big.level == "ok");
  CHECK(big.found == "not on this node, only on n2");
}

TEST_CASE("doctor: a pool that is gone with copies in it is a fault, and the volumes are named") {
  Case c;
  c.add_volume("v", "big", {{"n2", true}, {"n1", true}});
  c.add_volume("w", "big", {{"n2", true}}, {"n1"});
  c.add_volume("x", "big", {{"n2", true}});
  const auto big = c.look("big");
  CHECK(big.level == "fault");
  CHECK(says(big.found, "replicas of v, w"));
  CHECK(says(big.found, "does not exist on this node"));
}

TEST_CASE("doctor: what belongs to no volume of the cluster is named, and nobody else's is") {
  Case c;
  c.add_volume("v", "fast", {{"n1", true}});
  c.add_volume("w", "fast", {{"n2", true}});
  const auto add_image = [&](const std::string& name, const std::string& tags) {
    for (const char* ending : {".img", ".tags"}) {
      std::ofstream(c.directory.path() / "fast" / (name + ending)) << tags;
    }
  };
  add_image("v", "plexvol\nplexvol.id=id-of-v\n");
  add_image("stranger", "mine\n");
  const auto find_remains = [&] {
    doctor::Report report;
    doctor::look_at_pools({c.subject, c.runner, report});
    const auto found = std::find_if(
        report.findings.begin(), report.findings.end(),
        [](const api::Finding& finding) { return finding.what == "remains in pool fast"; });
    return found == report.findings.end() ? "" : found->level + ": " + found->found;
  };
  CHECK(find_remains().empty());
  add_image("w", "plexvol\nplexvol.id=id-of-w\n");
  add_image("v-old", "plexvol\nplexvol.id=another\n");
  CHECK(find_remains() == "warning: v-old, w");
  SUBCASE("while a volume's record cannot be read, any of them may be its copy [D6]") {
    c.put(keys::volume("bad"), "?");
    CHECK(find_remains().empty());
  }
}

TEST_CASE("doctor: a pool that no node has is misspelt, or was never made") {
  Case c;
  c.put(keys::node("n2"), model::to_json(Case::node("n2", {{"big", "not there"}, {"fast", ""}})));
  const auto big = c.look("big");
  CHECK(big.level == "fault");
  CHECK(says(big.advice, "create the directory"));
}

TEST_CASE("doctor: a node without any of its pools is a fault, unless nothing shall go there") {
  Case c;
  c.subject.pools = {c.file_pool("big")};
  const auto missed = c.look("big");
  CHECK(missed.level == "fault");
  CHECK(says(missed.advice, "create the directory"));
  CHECK(says(missed.advice, "plexvol node cordon n1"));
  c.put(keys::cordon("n1"), model::to_json(model::Cordon{}));
  CHECK(c.look("big").level == "ok");
}

TEST_CASE("doctor: without a store to ask, a pool that is not there is a fault") {
  Case c;
  c.subject.store = nullptr;
  CHECK(c.look("big").level == "fault");
}

TEST_CASE("doctor: a pool that cannot be looked at is a fault, whoever else has it") {
  Case c;
  c.subject.pools = {
      c.file_pool("fast"),
      {.name = "big", .type = "lvm", .volume_group = "vg9", .thin_pool = "", .directory = ""}};
  const std::vector<std::string> pvs = {"/sbin/pvs", "--config", kConfig,          "--reportformat",
                                        "json",      "-o",       "pv_name,vg_name"};
  c.runner.expect(pvs, {.exit_code = 5, .out = "", .err = "out of order"});
  CHECK(c.look("big").level == "fault");
  // The disks are there to be seen, and none is of that group.
  c.runner.expect(pvs, {.exit_code = 0, .out = support::read_data_file("lvm/pvs.json"), .err = ""});
  CHECK(c.look("big").level == "ok");
}

TEST_CASE("doctor: a group is to be made only where it surely never was [O1]") {
  Case c;
  c.subject.store = nullptr;
  c.subject.pools = {
      {.name = "big", .type = "lvm", .volume_group = "vg9", .thin_pool = "", .directory = ""}};
  const std::vector<std::string> pvs = {"/sbin/pvs", "--config", kConfig,          "--reportformat",
                                        "json",      "-o",       "pv_name,vg_name"};
  const auto advice = [&](const process::Output& said) {
    c.runner.expect(pvs, said);
    const auto finding = c.look("big");
    CHECK(finding.level == "fault");
    return finding.advice;
  };
  // It cannot be told: nothing is to be made.
  for (const process::Output& said :
       {process::Output{.exit_code = 5, .out = "", .err = "out of order"},
        process::Output{.exit_code = 0, .out = "Retrying metadata scan.", .err = ""}}) {
    const std::string found = advice(said);
    CHECK_FALSE(says(found, "vgcreate"));
    CHECK(says(found, "pvs"));
  }
  const std::string missing =
      advice({.exit_code = 0, .out = support::read_data_file("lvm/pvs.json"), .err = ""});
  CHECK(says(missing, "create it only if no disk of this node ever belonged to it (vgcreate)"));
}

TEST_CASE("doctor: volumes that are together larger than their pool are told of [O10]") {
  Case c;
  const auto promised = [&] {
    doctor::Report report;
    doctor::look_at_pools({c.subject, c.runner, report});
    const auto found = std::find_if(
        report.findings.begin(), report.findings.end(),
        [&](const api::Finding& finding) { return finding.what == "promised in pool fast"; });
    return found == report.findings.end() ? api::Finding{} : *found;
  };
  CHECK(promised().level.empty());
  c.put(keys::volume("v"), [] {
    model::Volume volume;
    volume.name = "v";
    volume.pool = "fast";
    volume.size_bytes = 1ULL << 50U;
    volume.replicas = {{"n1", true}};
    return model::to_json(volume);
  }());
  CHECK(promised().level == "warning");
  CHECK(says(promised().found, "volumes of 1Pi in "));
  CHECK(promised().wanted == "at most 100%");
  c.subject.pools[0].max_promised_percent = 100'000;
  CHECK((promised().level.empty() || says(promised().wanted, "at most 100000% (max_pr")));
}
