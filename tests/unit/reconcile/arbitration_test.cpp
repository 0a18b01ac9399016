// What must not wait for tools that take long.
#include <doctest/doctest.h>

#include <future>
#include <thread>

#include "agent/reconcile/workers.h"
#include "tests/unit/reconcile/frozen_node.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kThawed = "disconnect, resume-io, adjust";

// Of volume v; ends with this.
struct RunningJob {
  explicit RunningJob(Jobs& jobs) {
    CHECK_THROWS_AS(
        jobs.run("v", "fsck", Jobs::Load::None, [gone = go.get_future().share()] { gone.wait(); }),
        Error);
  }
  ~RunningJob() { go.set_value(); }
  RunningJob(const RunningJob&) = delete;
  RunningJob& operator=(const RunningJob&) = delete;
  std::promise<void> go;
};

}  // namespace

TEST_CASE("arbitration: a freeze ends while a job of the volume runs, which is told [O12]") {
  FrozenNode node;
  model::Status before;
  before.session = node.settings.session;
  before.mounts = {"/m"};
  node.store.put_status("n1", node.store.find_volume("v")->value, 0, before);
  const RunningJob job(node.jobs);
  CHECK(node.reconciler.reconcile("v") == Outcome::TrySoon);
  CHECK(node.runner.done == kThawed);
  CHECK_FALSE(node.is_current("n2"));
  const auto status = node.store.find_status("n1", "v");
  REQUIRE(status);
  CHECK(status->error.starts_with("volume v: fsck has been running since "));
  CHECK(status->error_code == ErrorCode::Unavailable);
  CHECK_FALSE(status->ready);
  CHECK(status->role == "Primary");
  // What nobody has looked at is said as before.
  CHECK(status->mounts == before.mounts);
  CHECK_FALSE(status->backing_gone);
}

TEST_CASE("arbitration: nothing is said of a volume that was never looked at [O12]") {
  FrozenNode node;
  const RunningJob job(node.jobs);
  node.reconciler.reconcile("v");
  CHECK_FALSE(node.store.find_status("n1", "v"));
}

TEST_CASE("arbitration: a freeze ends while all workers are busy [O12]") {
  FrozenNode node;
  Queue queue;
  queue.add("v");
  {
    const Workers none(node.reconciler, queue, node.store,
                       {.here = "n1", .workers = 0, .watch_drbd = false});
    while (node.is_current("n2")) std::this_thread::yield();
  }
  CHECK_FALSE(node.is_current("n2"));
}
