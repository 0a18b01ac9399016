#include "agent/reconcile/executor.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/unit/reconcile/part_of_pass.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)

namespace {

struct Execution : PartOfPass {
  void run(const std::vector<Action>& actions) { executor.run(actions, wanted, seen); }
  std::string link() const { return tools.links.find_target("v"); }

  Wanted wanted = cases::attached(cases::mirrored());
  Seen seen = cases::seen_mirrored("Secondary");
  Executor executor{shared, name};
};

}  // namespace

TEST_CASE("executor: actions are carried out in their order, up to the next look") {
  Execution e;
  e.run({actions::Link{"/dev/one"}, actions::Link{"/dev/two"}, actions::LookAgain{},
         actions::Unlink{}});
  CHECK(e.link() == "/dev/two");
  e.run({actions::Unlink{}});
  CHECK(e.link().empty());
}

TEST_CASE("executor: after one that fails no other is begun") {
  Execution e;
  CHECK_THROWS_WITH_AS(
      e.run({actions::Link{"/dev/one"}, actions::Fail{ErrorCode::Conflict, "the copy is gone"},
             actions::Link{"/dev/two"}}),
      "the copy is gone", Error);
  CHECK(e.link() == "/dev/one");
}

TEST_CASE("executor: what was seen of backing devices counts until one is touched") {
  Execution e;
  e.run({actions::Link{"/dev/one"}});
  CHECK(e.executor.effects().backing_known);
  // The pool does not exist on this node.
  CHECK_THROWS_AS(e.run({actions::ActivateData{}}), Error);
  CHECK_FALSE(e.executor.effects().backing_known);
  e.run({});
  CHECK(e.executor.effects().backing_known);
}

TEST_CASE("executor: a refused release is noted with its id, and nothing is done") {
  Execution e;
  e.wanted.attachment->release = model::Release{.id = "r-1", .reason = "mount on n2"};
  e.run({actions::RefuseRelease{"pod a is not proved dead"}});
  CHECK(e.seen.refused_release == "r-1");
  CHECK(e.executor.effects().note == "pod a is not proved dead");
}

TEST_CASE("executor: what an action rests on is on this node's disk before it") {
  Execution e;
  bool was_known = false;
  e.runner.when_run = [&] { was_known = e.acted.find(e.wanted.volume.id).has_value(); };
  CHECK_THROWS_AS(e.run({actions::ResumeIo{}}), Error);  // the tool says nothing
  CHECK(was_known);
}
