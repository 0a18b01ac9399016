#include "agent/volumes/changes.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <optional>
#include <vector>

#include "agent/api/error.h"
#include "agent/store/etcd_store.h"
#include "tests/support/counting_store.h"
#include "tests/support/etcd_process.h"
#include "tests/unit/volumes/quiet_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::steady_clock;
namespace keys = store::keys;

namespace {

// Counts watches, and can be waited for until none is left.
class WatchedStore : public support::CountingStore {
 public:
  using CountingStore::CountingStore;
  std::unique_ptr<store::Watch> watch(const std::string& prefix,
                                      store::ChangeHandler on_change) override {
    ++begun;
    ++standing;
    return std::make_unique<Counted>(*this, CountingStore::watch(prefix, std::move(on_change)));
  }
  void await_none() {
    for (int now = standing; now != 0; now = standing) standing.wait(now);
  }
  std::atomic<int> begun = 0;
  std::atomic<int> standing = 0;

 private:
  struct Counted : store::Watch {
    Counted(WatchedStore& watched, std::unique_ptr<store::Watch> inner)
        : store(watched), inside(std::move(inner)) {}
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() override {
      inside.reset();
      --store.standing;
      store.standing.notify_all();
    }
    WatchedStore& store;
    std::unique_ptr<store::Watch> inside;
  };
};

Call call_of(milliseconds time, std::stop_token stop = {}) {
  return {.deadline = steady_clock::now() + time, .stop = std::move(stop)};
}

constexpr minutes kLong(2);

// How many changes its watch has told.
int number_in(const std::string& token) {
  return std::stoi(token.substr(token.rfind('-') + 1));
}

// The token once the watch stands, which counts as a change.
std::string settled_token(Changes& changes) {
  std::string token = changes.await("", call_of(kLong));
  if (number_in(token) == 0) token = changes.await(token, call_of(kLong));
  return token;
}

struct ChangesCase {
  support::TemporaryDirectory directory;
  store::FileStore raw{directory.path()};
  WatchedStore watched{raw};
  std::optional<Changes> changes;

  explicit ChangesCase(milliseconds linger = minutes(5)) { changes.emplace(watched, linger); }

  void put(const std::string& key, const std::string& value = "x") {
    raw.commit({.conditions = {}, .writes = {{key, value}}});
  }
  std::string await(const std::string& since, milliseconds time = kLong) {
    return changes->await(since, call_of(time));
  }
  std::future<std::string> await_meanwhile(const std::string& since) {
    return std::async(std::launch::async, [this, since] { return await(since); });
  }
  std::string settled() { return settled_token(*changes); }
};

}  // namespace

TEST_CASE("changes: a token that is not the latest is answered at once") {
  ChangesCase test;
  const std::string latest = test.settled();
  CHECK_FALSE(latest.empty());
  CHECK(test.await("") == latest);
  CHECK(test.await("of another process") == latest);
  test.put(keys::volume("v"));
  const std::string next = test.await(latest);
  CHECK(next != latest);
  CHECK(test.await(latest) == next);
  CHECK(test.watched.begun == 1);
}

TEST_CASE("changes: every change of a volume or node is one, others are none") {
  ChangesCase test;
  std::string token = test.settled();
  for (const std::string& key :
       {keys::volume("v"), keys::current("v"), keys::attachment("v"), keys::status("n1", "v"),
        keys::alive("n1"), keys::node("n1"), keys::cordon("n1")}) {
    CAPTURE(key);
    auto waits = test.await_meanwhile(token);
    test.put(key);
    const std::string next = waits.get();
    CHECK(next != token);
    token = next;
  }
  for (const std::string& key : {keys::tenant("v"), keys::assigned("n1", "v"), keys::slot(1),
                                 keys::placement("n1"), keys::name("n1", "v")}) {
    test.put(key);
  }
  // The watch tells in turn: when this is told, those before have been.
  test.put(keys::volume("z"));
  const std::string next = test.await(token);
  CHECK(number_in(next) == number_in(token) + 1);
}

TEST_CASE("changes: all who wait are told of the same change") {
  ChangesCase test;
  const std::string token = test.settled();
  std::vector<std::future<std::string>> waiting;
  waiting.reserve(8);
  for (int i = 0; i < 8; ++i) waiting.push_back(test.await_meanwhile(token));
  test.put(keys::volume("v"));
  for (auto& waits : waiting) CHECK(waits.get() != token);
  CHECK(test.watched.begun == 1);
}

TEST_CASE("changes: the end of a lease is one") {
  ChangesCase test;
  auto presence = test.raw.announce(keys::alive("n1"), "s", std::chrono::seconds(10), {});
  const std::string token = test.settled();
  auto waits = test.await_meanwhile(token);
  presence.reset();
  CHECK(waits.get() != token);
}

TEST_CASE("changes: a call whose time is over is given its own token again") {
  ChangesCase test;
  const std::string token = test.settled();
  CHECK(test.await(token, milliseconds(1)) == token);
  CHECK(test.await(token, milliseconds(-1)) == token);
}

TEST_CASE("changes: a call ends when nobody waits for its answer any more") {
  ChangesCase test;
  const std::string token = test.settled();
  std::stop_source stop;
  const Call call = call_of(kLong, stop.get_token());
  auto waits = std::async(std::launch::async, [&] { return test.changes->await(token, call); });
  stop.request_stop();
  try {
    waits.get();
    FAIL("it was stopped");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Unavailable);
    CHECK(steady_clock::now() < call.deadline);
  }
}

TEST_CASE("changes: the watch ends after the last call, and what was missed then is a change") {
  ChangesCase test(milliseconds(1));
  const std::string token = test.await("");
  test.watched.await_none();
  const int before = test.watched.begun;
  CHECK(test.await(token) != token);
  CHECK(test.watched.begun == before + 1);
  test.watched.await_none();
}

TEST_CASE("changes: the watch is kept while somebody waits") {
  ChangesCase test(milliseconds(100));
  const std::string token = test.settled();
  auto waits = test.await_meanwhile(token);
  test.await(token, milliseconds(300));
  test.put(keys::volume("v"));
  CHECK(waits.get() != token);
}

TEST_CASE("changes: the watch ends with the agent") {
  ChangesCase test;
  test.await("");
  CHECK(test.watched.standing == 1);
  test.changes.reset();
  CHECK(test.watched.standing == 0);
}

TEST_CASE("changes: a call that waits survives that etcd is away") {
  if (!support::EtcdProcess::is_available()) return;
  support::EtcdProcess etcd;
  store::EtcdStore raw(etcd.settings());
  Changes changes(raw);
  const std::string token = settled_token(changes);
  etcd.kill();
  auto waits = std::async(std::launch::async, [&] { return changes.await(token, call_of(kLong)); });
  etcd.start();
  raw.commit({.conditions = {}, .writes = {{keys::volume("v"), "x"}}});
  CHECK(waits.get() != token);
}
