// Whether etcd can be used.
#include <doctest/doctest.h>

#include <algorithm>

#include "agent/api/error.h"
#include "agent/doctor/look.h"
#include "agent/model/codec.h"
#include "agent/store/etcd_store.h"
#include "agent/store/file_store.h"
#include "tests/support/counting_store.h"
#include "tests/support/etcd_process.h"
#include "tests/support/scripted_runner.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol;  // NOLINT(google-build-using-namespace)

namespace {

api::Finding look(const support::EtcdProcess& etcd, store::TypedStore& store,
                  const std::string& what) {
  doctor::Subject subject;
  subject.store_kind = "etcd";
  subject.endpoints = {etcd.endpoint()};
  subject.store = &store;
  support::ScriptedRunner runner;
  doctor::Report report;
  doctor::look_at_store({subject, runner, report});
  const auto found = std::find_if(report.findings.begin(), report.findings.end(),
                                  [&](const auto& finding) { return finding.what == what; });
  REQUIRE(found != report.findings.end());
  return *found;
}

api::Finding look_at_empty(const support::EtcdProcess& etcd) {
  store::EtcdStore raw(etcd.settings());
  store::TypedStore store(raw);
  api::Finding found = look(etcd, store, "store");
  CHECK(raw.list("").empty());
  return found;
}

// Knows no tool.
class NoTools : public process::Runner {
 public:
  process::Output run(const process::Command&) override {
    return {.exit_code = 127, .out = {}, .err = {}};
  }
};

// Answers nothing, and is told how often it was asked.
class SilentStore : public support::CountingStore {
 public:
  using CountingStore::CountingStore;
  std::optional<store::Entry> get(const std::string&) override { silence(); }
  std::vector<std::optional<store::Entry>> get_all(const std::vector<std::string>&) override {
    silence();
  }
  std::vector<store::Entry> list(const std::string&) override { silence(); }
  bool commit(const store::Transaction&) override { silence(); }

 private:
  [[noreturn]] void silence() {
    ++requests;
    throw Error(ErrorCode::Unavailable, "etcd: no answer in time");
  }
};

}  // namespace

TEST_CASE("doctor: a store that does not answer is asked once, and told of once") {
  const support::TemporaryDirectory directory;
  store::FileStore file(directory.path());
  SilentStore silent(file);
  store::TypedStore store(silent);
  doctor::Subject subject;
  subject.here = "n1";
  subject.store_kind = "etcd";
  subject.pools = {{.name = "a",
                    .type = "file",
                    .volume_group = "",
                    .thin_pool = "",
                    .directory = directory.path() / "a"}};
  subject.state_directory = directory.path();
  subject.store = &store;
  subject.sockets = {"/run/plexvol/plexvold.sock"};
  NoTools runner;
  const auto findings = doctor::examine(subject, runner);
  CHECK(silent.requests.load() == 1);
  CHECK(std::count_if(findings.begin(), findings.end(), [](const api::Finding& finding) {
          return finding.what == "store" && finding.level == "fault" &&
                 finding.found == "etcd: no answer in time";
        }) == 1);
}

TEST_CASE("doctor: an etcd that answers reads and takes no writes is a fault") {
  if (!support::EtcdProcess::is_available()) return;
  support::EtcdProcess etcd;
  CHECK(look_at_empty(etcd).level == "ok");
  etcd.kill();
  constexpr std::uint64_t kQuota = 1U << 20;
  etcd.start_small(kQuota);
  auto settings = etcd.settings();
  settings.key_prefix = "/else/";
  store::EtcdStore others(settings);
  const auto fill = [&] {
    for (int i = 0;; ++i) {
      others.commit(
          {.conditions = {}, .writes = {{std::to_string(i), std::string(kQuota / 16, 'x')}}});
    }
  };
  CHECK_THROWS_AS(fill(), Error);
  const api::Finding full = look_at_empty(etcd);
  CHECK(full.level == "fault");
  CHECK_MESSAGE(full.found.find("space exceeded") != std::string::npos, full.found);
  CHECK(full.advice.find("etcdctl alarm list") != std::string::npos);
}

TEST_CASE("doctor: a store that was rolled back is a fault, with what to do [D19]") {
  if (!support::EtcdProcess::is_available()) return;
  support::EtcdProcess etcd;
  store::EtcdStore raw(etcd.settings());
  store::TypedStore store(raw);
  store.commit(store::Change().put(
      store::keys::rolled_back(),
      model::to_json(model::RolledBack{.node = "n2", .at = 0, .what = "another etcd"})));
  const api::Finding found = look(etcd, store, "store's age");
  CHECK(found.level == "fault");
  CHECK(found.found == "n2 saw at 1970-01-01T00:00:00Z: another etcd");
  CHECK(found.advice.find("plexvol store repair") != std::string::npos);
}
