#include "agent/kube/election.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/kube/failures.h"
#include "tests/unit/kube/fake_locks.h"

namespace plexvol::kube {

namespace {

using nlohmann::json;
using std::chrono::milliseconds;

ElectionSettings quick(const std::string& identity) {
  ElectionSettings settings;
  settings.ns = "kube-system";
  settings.name = "plexvol-controller";
  settings.identity = identity;
  settings.duration = milliseconds(2000);
  settings.renew = milliseconds(1500);
  settings.retry = milliseconds(50);
  return settings;
}

void until_stopped(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait(lock, stop, [] { return false; });
}

json lease_of(const std::string& holder, int seconds = 1) {
  return {
      {"apiVersion", "coordination.k8s.io/v1"},
      {"kind", "Lease"},
      {"metadata",
       {{"name", "plexvol-controller"}, {"namespace", "kube-system"}, {"labels", {{"a", "b"}}}}},
      {"spec",
       {{"holderIdentity", holder},
        {"leaseDurationSeconds", seconds},
        {"acquireTime", "2020-01-01T00:00:00.000000Z"},
        {"renewTime", "2020-01-01T00:00:00.000000Z"},
        {"leaseTransitions", 4}}}};
}

bool is_time(const std::string& text, const std::string& form) {
  if (text.size() != form.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_digit = text[i] >= '0' && text[i] <= '9';
    if (form[i] == '0' ? !is_digit : text[i] != form[i]) return false;
  }
  return true;
}

constexpr const char* kMicroTime = "0000-00-00T00:00:00.000000Z";

}  // namespace

TEST_CASE("election: makes the lock, renews it, and empties it when stopped") {
  FakeLocks locks;
  Client client(settings_for(locks.server().url()));
  Election election(client, quick("a"));
  std::stop_source stop;
  json first;
  const bool is_stopped = election.run_once(
      [&](const std::stop_token& lead_stop) {
        CHECK(election.is_leader());
        first = locks.object().value();
        while (locks.writes() < 3) std::this_thread::yield();
        stop.request_stop();
        until_stopped(lead_stop);
        CHECK_FALSE(election.is_leader());
        CHECK(locks.holder() == "a");  // not before this has ended
      },
      stop.get_token());
  CHECK(is_stopped);
  CHECK(first.at("apiVersion") == "coordination.k8s.io/v1");
  CHECK(first.at("kind") == "Lease");
  CHECK(first.at("metadata").at("name") == "plexvol-controller");
  CHECK(first.at("metadata").at("namespace") == "kube-system");
  CHECK(first.at("spec").at("holderIdentity") == "a");
  CHECK(first.at("spec").at("leaseDurationSeconds") == 2);
  CHECK(first.at("spec").at("leaseTransitions") == 0);
  CHECK(is_time(first.at("spec").at("acquireTime"), kMicroTime));
  const auto made = locks.server().requests().at(3);
  CHECK(made.path == "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases");
  const json spec = json::parse(made.body).at("spec");
  CHECK(spec.at("renewTime") == spec.at("acquireTime"));
  const json last = locks.object().value();
  CHECK_FALSE(last.at("spec").contains("holderIdentity"));
  CHECK(last.at("spec").at("acquireTime") == first.at("spec").at("acquireTime"));
  CHECK(last.at("spec").at("renewTime") > first.at("spec").at("renewTime"));
}

TEST_CASE("election: what is its own, or nobody's, it takes at once") {
  for (const std::string holder : {"a", ""}) {
    CAPTURE(holder);
    FakeLocks locks;
    locks.set(lease_of(holder, 3600));
    Client client(settings_for(locks.server().url()));
    json seen;
    const auto lead = [&](const std::stop_token&) { seen = locks.object().value(); };
    CHECK_FALSE(Election(client, quick("a")).run_once(lead, {}));
    CHECK(seen.at("spec").at("holderIdentity") == "a");
    CHECK(seen.at("spec").at("leaseTransitions") == (holder.empty() ? 5 : 4));
    CHECK((seen.at("spec").at("acquireTime") == "2020-01-01T00:00:00.000000Z") == !holder.empty());
    CHECK(seen.at("metadata").at("labels") == json{{"a", "b"}});  // not its own to change
  }
}

TEST_CASE("election: another's lock is free when it did not change for as long as it says") {
  FakeLocks locks;
  locks.set(lease_of("other", 3));  // long over by the clock on the wall
  Client client(settings_for(locks.server().url()));
  const auto began = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point led_at;
  Election(client, quick("a"))
      .run_once([&](const std::stop_token&) { led_at = std::chrono::steady_clock::now(); }, {});
  CHECK(led_at - began >= std::chrono::seconds(3));
  CHECK(locks.object().value().at("spec").at("leaseTransitions") == 5);
}

TEST_CASE(
    "election: a holder that renews keeps it; one that cannot has ended before another begins") {
  FakeLocks locks;
  ClientSettings of_a = settings_for(locks.server().url());
  of_a.user_agent = "a";
  ClientSettings of_b = of_a;
  of_b.user_agent = "b";
  Client client_a(of_a);
  Client client_b(of_b);
  Election a(client_a, quick("a"));
  Election b(client_b, quick("b"));
  std::atomic<bool> a_leads = false;
  std::atomic<bool> b_may_end = false;
  std::stop_source stop;
  std::jthread second;
  const bool is_stopped = a.run_once(
      [&](const std::stop_token& lead_stop) {
        a_leads = true;
        second = std::jthread([&] {
          b.run_once(
              [&](const std::stop_token& b_stop) {
                CHECK_FALSE(a_leads);
                b_may_end = true;
                until_stopped(b_stop);
              },
              stop.get_token());
        });
        // Twice as long as a lock that is not renewed holds.
        const auto enough = std::chrono::steady_clock::now() + 2 * quick("a").duration;
        while (std::chrono::steady_clock::now() < enough)
          std::this_thread::sleep_for(milliseconds(10));
        CHECK_FALSE(b.is_leader());
        CHECK(locks.holder() == "a");
        locks.refuse("a");
        until_stopped(lead_stop);
        a_leads = false;
      },
      {});
  CHECK_FALSE(is_stopped);
  CHECK_FALSE(a.is_leader());
  while (!b_may_end) std::this_thread::yield();
  CHECK(b.is_leader());
  CHECK(locks.holder() == "b");
  CHECK(locks.object().value().at("spec").at("leaseTransitions") == 1);
  stop.request_stop();
  second.join();
  CHECK(locks.holder().empty());
}

TEST_CASE("election: a lock that another has, or that is removed, is lost and not touched") {
  for (const bool is_removed : {false, true}) {
    CAPTURE(is_removed);
    FakeLocks locks;
    Client client(settings_for(locks.server().url()));
    const bool is_stopped = Election(client, quick("a"))
                                .run_once(
                                    [&](const std::stop_token& stop) {
                                      if (is_removed) {
                                        locks.set(std::nullopt);
                                      } else {
                                        locks.set(lease_of("other"));
                                      }
                                      until_stopped(stop);
                                    },
                                    {});
    CHECK_FALSE(is_stopped);
    CHECK(locks.object().has_value() == !is_removed);
    if (!is_removed) CHECK(locks.holder() == "other");
  }
}

TEST_CASE("election: who may not lead does not compete, and gives up what it has") {
  FakeLocks locks;
  Client client(settings_for(locks.server().url()));
  std::atomic<bool> may = false;
  std::atomic<int> asked = 0;
  ElectionSettings settings = quick("a");
  settings.may_lead = [&] {
    ++asked;
    return may.load();
  };
  Election election(client, settings);
  std::jthread allow([&] {
    while (asked < 3) std::this_thread::yield();
    CHECK(locks.server().requests().empty());
    may = true;
  });
  const bool is_stopped = election.run_once(
      [&](const std::stop_token& stop) {
        may = false;
        until_stopped(stop);
      },
      {});
  CHECK_FALSE(is_stopped);
  CHECK(locks.object().has_value());
  CHECK(locks.holder().empty());
}

TEST_CASE("election: renewed while what was stopped still ends") {
  FakeLocks locks;
  Client client(settings_for(locks.server().url()));
  std::stop_source stop;
  CHECK(Election(client, quick("a"))
            .run_once(
                [&](const std::stop_token& lead_stop) {
                  stop.request_stop();
                  until_stopped(lead_stop);
                  const std::size_t before = locks.writes();
                  while (locks.writes() < before + 3) std::this_thread::yield();
                  CHECK(locks.holder() == "a");
                },
                stop.get_token()));
  CHECK(locks.holder().empty());
}

TEST_CASE("election: what the leader throws comes out, and the lock is released") {
  FakeLocks locks;
  Client client(settings_for(locks.server().url()));
  Election election(client, quick("a"));
  const auto lead = [](const std::stop_token&) { throw std::logic_error("x"); };
  CHECK_THROWS_AS(election.run_once(lead, {}), std::logic_error);
  CHECK(locks.holder().empty());
  CHECK_FALSE(election.is_leader());
}

TEST_CASE("election: stopped before it leads, by a server that does not answer, too") {
  const support::HttpServer silent(support::never_reply());
  ClientSettings settings = settings_for(silent.url());
  settings.timeout = std::chrono::hours(1);
  Client client(settings);
  ElectionSettings patient = quick("a");
  patient.renew = std::chrono::hours(1);
  std::stop_source stop;
  std::jthread stopper([&] {
    silent.await_requests(1);
    stop.request_stop();
  });
  const auto never = [](const std::stop_token&) { FAIL_CHECK("leads"); };
  CHECK(Election(client, patient).run_once(never, stop.get_token()));
  CHECK(Election(client, patient).run_once(never, stop.get_token()));
  CHECK(silent.requests().size() == 1);
}

TEST_CASE("election: with the leases of Kubernetes 1.13") {
  FakeLocks locks("coordination.k8s.io/v1beta1");
  Client client(settings_for(locks.server().url()));
  Election(client, quick("a")).run_once([](const std::stop_token&) {}, {});
  CHECK(locks.object().value().at("apiVersion") == "coordination.k8s.io/v1beta1");
}

TEST_CASE("election: with a ConfigMap's annotation, as client-go writes it") {
  constexpr const char* kAnnotation = "control-plane.alpha.kubernetes.io/leader";
  FakeLocks locks("");
  locks.set(json{{"apiVersion", "v1"},
                 {"kind", "ConfigMap"},
                 {"metadata", {{"name", "plexvol-controller"}, {"annotations", {{"x", "y"}}}}},
                 {"data", {{"key", "value"}}}});
  Client client(settings_for(locks.server().url()));
  const auto record = [&] {
    return json::parse(
        locks.object().value().at("metadata").at("annotations").at(kAnnotation).get<std::string>());
  };
  json seen;
  const auto lead = [&](const std::stop_token&) { seen = record(); };
  Election(client, quick("a")).run_once(lead, {});
  CHECK(seen.at("holderIdentity") == "a");
  CHECK(seen.at("leaseDurationSeconds") == 2);
  CHECK(seen.at("leaderTransitions") == 1);
  CHECK(is_time(seen.at("acquireTime"), "0000-00-00T00:00:00Z"));
  CHECK(is_time(seen.at("renewTime"), "0000-00-00T00:00:00Z"));
  CHECK(seen.size() == 5);
  CHECK(locks.object().value().at("data") == json{{"key", "value"}});
  CHECK(locks.object().value().at("metadata").at("annotations").at("x") == "y");
  CHECK_FALSE(record().contains("holderIdentity"));  // client-go reads that as nobody

  locks.set(std::nullopt);
  Election(client, quick("b")).run_once(lead, {});
  CHECK(seen.at("holderIdentity") == "b");
  CHECK(locks.object().value().at("kind") == "ConfigMap");
}

}  // namespace plexvol::kube
