// Who may take a volume from a node that still holds its lease.
#include <doctest/doctest.h>

#include "agent/model/codec.h"
#include "agent/service/service.h"
#include "agent/store/file_store.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::service;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;
using store::Change;
namespace keys = store::keys;

namespace {

// A volume with copies on n1, which holds it, and n2, where it is wanted. Nobody works on either
// node: n1 says nothing, unless a test does so for it.
struct Case {
  support::TemporaryDirectory directory;
  store::FileStore raw{directory.path()};
  store::TypedStore store{raw};
  arbiter::Arbiter arbiter{store};
  mounting::MountCalls calls{[](const std::string&) {}};
  Service service{store,
                  arbiter,
                  calls,
                  [] {},
                  {.here = "n2", .session = "s2", .version = "1", .silence = milliseconds(100)}};
  model::Status status{};
  std::string said;

  Case() {
    model::Volume volume;
    volume.name = "v";
    volume.id = "id";
    volume.size_bytes = 1;
    volume.fs_type = "ext4";
    volume.minor = 1000;
    volume.replicas = {{"n1", true, false}, {"n2", true, false, 1}};
    model::Attachment held;
    held.node = "n1";
    held.names = {"pv"};
    status.session = "s2";
    status.disk_state = "UpToDate";
    status.connection = "Connecting";
    store.commit(Change()
                     .put(keys::volume("v"), model::to_json(volume))
                     .put(keys::attachment("v"), model::to_json(held))
                     .put(keys::name("n1", "pv"), "v")
                     .put(keys::alive("n1"), "s1")
                     .put(keys::alive("n2"), "s2")
                     .wake(volume));
    store.put_node({.name = "n2",
                    .address = "10.0.0.2",
                    .version = "1",
                    .drbd_version = "8.4.11",
                    .mirror_error = "",
                    .pools = {}});
    set_current({"n1", "n2"});
  }
  void set_current(const std::set<std::string>& nodes) {
    store.commit(
        Change().put(keys::current("v"), model::to_json(model::Current{4, nodes, {}, {}})));
  }
  void put_status(const std::string& node, const model::Status& of_agent) {
    store.commit(Change().put(keys::status(node, "v"), model::to_json(of_agent)));
  }
  // A mount on n2, which waits for a device in vain: nobody works here.
  void mount_on_n2(milliseconds patience = milliseconds(1500)) {
    put_status("n2", status);
    try {
      service.mount({.options = {{"volume", "v"}, {"kubernetes.io/pvOrVolumeName", "pv"}},
                     .target = "/mnt",
                     .device = "",
                     .attached_before = false},
                    {.deadline = std::chrono::steady_clock::now() + patience, .stop = {}});
    } catch (const Error& error) {
      said = error.what();
    }
  }
  // As soon as n1's agent is asked to let go, it says this, for as long as the answer lives.
  using Held = store::Versioned<model::Attachment>;
  std::unique_ptr<store::Watch> n1_answers(std::function<void(model::Status&, const Held&)> say) {
    return raw.watch(keys::attachment("v"), [this, say = std::move(say)](const std::string&) {
      const auto now = store.find_attachment("v");
      if (!now || !now->value.release) return;
      model::Status said_by_n1;
      said_by_n1.session = "s1";
      say(said_by_n1, *now);
      put_status("n1", said_by_n1);
    });
  }
  model::Attachment held() { return store.find_attachment("v")->value; }
};

}  // namespace

TEST_CASE("take-over: a holder that is cut off and says nothing is not waited for") {
  Case test;
  test.mount_on_n2();
  CAPTURE(test.said);
  CHECK(test.held().node == "n2");
  CHECK(test.held().silent_session == "s1");
  // In the same step, so that never both have it.
  CHECK(test.store.find_current("v")->value.nodes == std::set<std::string>{"n2"});
  CHECK(test.store.find_current("v")->value.epoch == 5);
  CHECK_FALSE(test.store.find_named("n1", "pv"));
}

TEST_CASE("take-over: not while the copy here is connected, old, or out of the set") {
  const auto is_kept = [](const std::function<void(Case&)>& change) {
    Case test;
    change(test);
    test.mount_on_n2();
    return test.held().node == "n1";
  };
  CHECK(is_kept([](Case& test) { test.status.connection = "Connected"; }));
  CHECK(is_kept([](Case& test) { test.status.connection = ""; }));
  CHECK(is_kept([](Case& test) { test.status.disk_state = "Outdated"; }));
  CHECK(is_kept([](Case& test) { test.status.session = "of a former agent"; }));
  CHECK(is_kept([](Case& test) { test.set_current({"n1"}); }));
}

TEST_CASE("take-over: a holder that answers is believed, however badly it is connected") {
  Case test;
  // n1's agent refuses, as soon as it is asked.
  const auto answer = test.n1_answers([](model::Status& status, const auto& held) {
    status.refused_release = held.value.release->id;
    status.error = "in use by a pod";
  });
  test.mount_on_n2();
  CHECK(test.held().node == "n1");
  CHECK(test.store.find_current("v")->value.nodes.contains("n1"));
}

TEST_CASE("take-over: a holder that has seen what is asked of it is not silent") {
  Case test;
  // It looks, and has not decided yet.
  const auto answer = test.n1_answers(
      [](model::Status& status, const auto& held) { status.attachment_revision = held.revision; });
  test.mount_on_n2();
  CHECK(test.held().node == "n1");
}
