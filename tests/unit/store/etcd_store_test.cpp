// What is particular to etcd: it goes away, comes back, and forgets.
#include "agent/store/etcd_store.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/store/store_seen.h"
#include "tests/support/change_recorder.h"
#include "tests/support/child_process.h"
#include "tests/support/etcd_process.h"
#include "tests/support/store_calls.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::store {

namespace {

using std::chrono::seconds;
using support::ChangeRecorder;
using support::EtcdProcess;
using support::Failure;
using support::failure_of;
using support::patient;
using support::put;
using support::quick;
using Clock = std::chrono::steady_clock;

EtcdSettings away() {
  EtcdSettings settings;
  settings.endpoints = {"http://127.0.0.1:" + std::to_string(support::free_port())};
  return quick(settings);
}

// The lease that the key is under, as etcdctl prints it.
std::string lease_of(const EtcdProcess& etcd, const std::string& key) {
  std::istringstream lines(etcd.control({"get", key, "--write-out=fields"}));
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view kName = "\"Lease\" : ";
    if (!line.starts_with(kName)) continue;
    std::ostringstream hex;
    hex << std::hex << std::stoll(line.substr(kName.size()));
    return hex.str();
  }
  return "";
}

std::string revision_of(const EtcdProcess& etcd) {
  std::istringstream lines(etcd.control({"get", "x", "--write-out=fields"}));
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view kName = "\"Revision\" : ";
    if (line.starts_with(kName)) return line.substr(kName.size());
  }
  return "";
}

}  // namespace

TEST_CASE("etcd store: settings that can never work are refused by name") {
  const auto refusal = [](const EtcdSettings& settings) {
    const Failure failure = failure_of([&] { const EtcdStore store(settings); });
    CHECK(failure.code == ErrorCode::InvalidArgument);
    return failure.text;
  };
  EtcdSettings settings;
  CHECK(refusal(settings).find("no endpoint") != std::string::npos);
  for (const char* endpoint : {"", "http://", "http://a b:1", "unix:///run/x", "http://h/path"}) {
    settings.endpoints = {endpoint};
    CHECK(refusal(settings).find(std::string("'") + endpoint + "'") != std::string::npos);
  }
  settings.endpoints = {"http://127.0.0.1:1"};
  settings.ca_file = "/dev/null";
  CHECK(refusal(settings).find("not https") != std::string::npos);
  settings.endpoints = {"127.0.0.1"};
  settings.ca_file = "/nonexistent/ca.pem";
  CHECK(refusal(settings).find("/nonexistent/ca.pem") != std::string::npos);
  settings.ca_file = {};
  settings.certificate_file = "/dev/null";
  CHECK(refusal(settings).find("key") != std::string::npos);
}

TEST_CASE("etcd store: an etcd that is not there is said so in time, with its address [O11]") {
  const EtcdSettings settings = away();
  EtcdStore store(settings);
  for (const Failure& failure :
       {failure_of([&] { store.get("a"); }), failure_of([&] { store.list("a"); }),
        failure_of([&] { put(store, "a", "1"); }),
        failure_of([&] { store.announce("a", "", seconds(5), {}); })}) {
    CAPTURE(failure.text);
    CHECK(failure.code == ErrorCode::Unavailable);
    CHECK(failure.says(settings.endpoints[0]));
    CHECK(failure.says("nothing was sent"));
    CHECK(failure.says("(Connection refused)"));
    for (const char* word : {"addresses", "UNKNOWN", "ipv4:", "remote host"}) {
      CHECK_FALSE(failure.says(word));
    }
    CHECK(failure.took < seconds(5));
  }
}

TEST_CASE("etcd store: nothing hangs at its end when etcd is away") {
  if (!EtcdProcess::is_available()) return;
  EtcdProcess etcd;
  ChangeRecorder recorder;
  auto store = std::make_unique<EtcdStore>(etcd.settings());
  auto watch = store->watch("a/", recorder.handler());
  REQUIRE(recorder.wait_for("a/"));
  auto presence = store->announce("alive/n1", "", seconds(60), {});
  SUBCASE("because it died") {
    etcd.kill();
  }
  SUBCASE("because it does not answer") {
    etcd.pause();
  }
  const auto begin = Clock::now();
  store.reset();
  watch.reset();
  presence.reset();
  CHECK(Clock::now() - begin < seconds(6));
}

TEST_CASE("etcd store: the second endpoint is used when the first is dead") {
  if (!EtcdProcess::is_available()) return;
  EtcdSettings settings = support::shared_etcd().settings();
  settings.endpoints.insert(settings.endpoints.begin(), away().endpoints[0]);
  settings.key_prefix = "/second/";
  EtcdStore store(settings);
  CHECK(put(store, "a", "1"));
  CHECK(store.get("a")->value == "1");
  ChangeRecorder recorder;
  const auto watch = store.watch("", recorder.handler());
  CHECK(recorder.wait_for(""));
}

TEST_CASE("etcd store: a commit whose answer is lost may or may not have been applied") {
  if (!EtcdProcess::is_available()) return;
  EtcdProcess etcd;
  EtcdStore store(quick(etcd.settings()));
  REQUIRE(put(store, "a", "1"));
  etcd.pause();
  const Failure failure = failure_of([&] { put(store, "a", "2"); });
  CHECK(failure.code == ErrorCode::Unavailable);
  CHECK_MESSAGE(failure.says("may or may not"), failure.text);
  CHECK(failure.took < seconds(5));
  const Failure read = failure_of([&] { store.get("a"); });
  CHECK(read.code == ErrorCode::Unavailable);
  CHECK_MESSAGE(!read.says("may or may not"), read.text);
  etcd.resume();
  EtcdStore later(patient(etcd.settings()));
  CHECK(later.get("a"));
}

TEST_CASE("etcd store: a transaction too large for etcd is refused for good") {
  if (!EtcdProcess::is_available()) return;
  EtcdStore store(support::shared_etcd().settings());
  for (const std::size_t bytes : {std::size_t{1'700'000}, std::size_t{4'000'000}}) {
    const Failure failure = failure_of([&] { put(store, "large", std::string(bytes, 'x')); });
    CAPTURE(failure.text);
    CHECK(failure.code == ErrorCode::Internal);
    CHECK(failure.says("large"));
  }
}

TEST_CASE("etcd store: a watch goes on where it was when etcd was killed and is back") {
  if (!EtcdProcess::is_available()) return;
  EtcdProcess etcd;
  EtcdStore store(patient(etcd.settings()));
  ChangeRecorder recorder;
  const auto watch = store.watch("v/", recorder.handler());
  REQUIRE(recorder.wait_for("v/"));
  put(store, "v/before", "1");
  REQUIRE(recorder.wait_for("v/before"));
  etcd.kill();
  etcd.start_elsewhere();
  {
    EtcdStore other(patient(etcd.settings()));
    put(other, "v/meanwhile", "1");
    put(other, "w/meanwhile", "1");
  }
  CHECK(recorder.count("v/meanwhile") == 0);
  etcd.kill();
  etcd.start();
  CHECK(recorder.wait_for("v/meanwhile"));
  CHECK(recorder.count("v/") == 1);
  put(store, "v/after", "1");
  CHECK(recorder.wait_for("v/after"));
  CHECK(recorder.count("v/before") == 1);
  CHECK(store.get("v/before"));
}

TEST_CASE("etcd store: a watch that missed a compaction tells to look at everything") {
  if (!EtcdProcess::has_control()) return;
  EtcdProcess etcd;
  EtcdStore store(patient(etcd.settings()));
  ChangeRecorder recorder;
  const auto watch = store.watch("v/", recorder.handler());
  REQUIRE(recorder.wait_for("v/"));
  recorder.clear();
  etcd.kill();
  etcd.start_elsewhere();
  {
    EtcdStore other(patient(etcd.settings()));
    put(other, "v/meanwhile", "1");
    put(other, "v/meanwhile", "2");
    etcd.control({"compaction", revision_of(etcd)});
  }
  etcd.kill();
  etcd.start();
  CHECK(recorder.wait_for("v/"));
  put(store, "v/after", "1");
  CHECK(recorder.wait_for("v/after"));
}

TEST_CASE("etcd store: a watch notices that another etcd answers at the old address") {
  if (!EtcdProcess::is_available()) return;
  EtcdProcess etcd;
  EtcdStore store(patient(etcd.settings()));
  for (int i = 0; i < 5; ++i) put(store, "v/old", "1");
  ChangeRecorder recorder;
  const auto watch = store.watch("v/", recorder.handler());
  REQUIRE(recorder.wait_for("v/"));
  recorder.clear();
  etcd.kill();
  etcd.start_empty();
  CHECK(recorder.wait_for("v/"));
  put(store, "v/new", "1");
  CHECK(recorder.wait_for("v/new"));
}

TEST_CASE("etcd store: a watch begun while etcd is away stands when it is there") {
  if (!EtcdProcess::is_available()) return;
  EtcdProcess etcd;
  etcd.kill();
  EtcdStore store(patient(etcd.settings()));
  ChangeRecorder recorder;
  const auto watch = store.watch("v/", recorder.handler());
  etcd.start();
  CHECK(recorder.wait_for("v/"));
}

TEST_CASE("child: announces alive/n1 until it is killed" * doctest::skip()) {
  EtcdSettings settings;
  settings.endpoints = {support::variable("STORE_ENDPOINT")};
  EtcdStore store(settings);
  const auto presence =
      store.announce("alive/n1", "child", seconds(std::stoi(support::variable("STORE_TTL"))), {});
  std::printf("announced.\n");
  std::fflush(stdout);
  ::pause();
}

TEST_CASE("etcd store: the presence of a process that was killed ends after its time to live") {
  if (!EtcdProcess::is_available()) return;
  EtcdProcess etcd;
  EtcdStore store(etcd.settings());
  support::ChildProcess child =
      support::run_own_test("child: announces alive/n1 until it is killed",
                            {"STORE_ENDPOINT=" + etcd.endpoint(), "STORE_TTL=2"});
  REQUIRE_MESSAGE(child.read_until("announced."), child.output());
  ChangeRecorder recorder;
  const auto watch = store.watch("alive/", recorder.handler());
  REQUIRE(recorder.wait_for("alive/"));
  // It is kept for longer than it would live by itself.
  CHECK_FALSE(recorder.wait_for("alive/n1", 1, seconds(5)));
  CHECK(store.get("alive/n1"));
  child.kill();
  CHECK(store.get("alive/n1"));
  CHECK(recorder.wait_for("alive/n1"));
  CHECK_FALSE(store.get("alive/n1"));
}

TEST_CASE("etcd store: a presence takes the key over from a former life under another lease") {
  if (!EtcdProcess::is_available()) return;
  EtcdProcess etcd;
  EtcdStore store(etcd.settings());
  support::ChildProcess child =
      support::run_own_test("child: announces alive/n1 until it is killed",
                            {"STORE_ENDPOINT=" + etcd.endpoint(), "STORE_TTL=300"});
  REQUIRE_MESSAGE(child.read_until("announced."), child.output());
  child.kill();
  REQUIRE(store.get("alive/n1")->value == "child");
  auto presence = store.announce("alive/n1", "new", seconds(300), {});
  CHECK(store.get("alive/n1")->value == "new");
  presence.reset();
  CHECK_FALSE(store.get("alive/n1"));
}

TEST_CASE("etcd store: a presence is made again when its lease or its key was lost") {
  if (!EtcdProcess::has_control()) return;
  EtcdProcess etcd;
  EtcdStore store(etcd.settings());
  const auto presence = store.announce("alive/n1", "x", seconds(3), {});
  ChangeRecorder recorder;
  const auto watch = store.watch("alive/", recorder.handler());
  REQUIRE(recorder.wait_for("alive/"));
  SUBCASE("the lease") {
    etcd.control({"lease", "revoke", lease_of(etcd, "/plexvol/alive/n1")});
    CHECK(recorder.wait_for("alive/n1", 2));  // its end and its return
  }
  SUBCASE("the key") {
    etcd.control({"del", "/plexvol/alive/n1"});
    CHECK(recorder.wait_for("alive/n1", 2));
  }
  SUBCASE("all of etcd") {
    etcd.kill();
    etcd.start_empty();
    // It may return before the watch does, which then tells only its prefix.
    const auto patience = Clock::now() + seconds(30);
    while (Clock::now() < patience && !store.get("alive/n1")) {
    }
  }
  REQUIRE(store.get("alive/n1"));
  CHECK(store.get("alive/n1")->value == "x");
  CHECK(lease_of(etcd, "/plexvol/alive/n1").size() > 1);
}

TEST_CASE("etcd store: one that lost what was seen of it is noticed [D19]") {
  if (!EtcdProcess::has_control()) return;
  EtcdProcess etcd;
  support::TemporaryDirectory directory;
  StoreSeen seen(directory.path() / "store-seen");
  auto settings = etcd.settings();
  settings.seen = &seen;
  EtcdStore store(settings);
  CHECK(put(store, "a", "1"));
  const auto first = seen.last();
  CHECK(first.cluster != 0);
  CHECK(std::to_string(first.revision) == revision_of(etcd));
  store.get("a");
  store.get_all({"a", "b"});
  store.list("a");
  etcd.kill();
  etcd.start();
  store.get("a");
  CHECK(put(store, "a", "2"));
  CHECK(seen.contradiction().empty());
  CHECK(seen.last().revision == first.revision + 1);
  etcd.kill();
  etcd.start_empty();
  SUBCASE("by a read") {
    store.get("a");
  }
  SUBCASE("by a read of many") {
    store.get_all({"a", "b"});
  }
  SUBCASE("by a list") {
    store.list("a");
  }
  SUBCASE("by a write") {
    try {
      put(store, "a", "3");
    } catch (const Error&) {  // over the old connection, which is not tried twice
      put(store, "a", "3");
    }
  }
  CHECK_FALSE(seen.contradiction().empty());
}

}  // namespace plexvol::store
