// Each file of tests/plan/ is planned, and what is planned compared with what is expected there.
// With PLEXVOL_WRITE_PLANS=1 the expected parts are written anew instead, to be reviewed as a diff.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "agent/reconcile/planner.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/reconcile/plan_cases.h"
#include "tests/unit/reconcile/plan_file.h"

using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)

namespace {

std::vector<std::string> list_plan_files() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator("tests/plan")) {
    if (entry.path().extension() == ".plan") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool is_to_be_written() {
  const char* value = std::getenv("PLEXVOL_WRITE_PLANS");  // NOLINT(concurrency-mt-unsafe)
  return value != nullptr && std::string(value) == "1";
}

}  // namespace

TEST_CASE("plan: what is planned in each file of tests/plan is what it expects") {
  const auto paths = list_plan_files();
  CHECK(paths.size() >= 15);
  for (const std::string& path : paths) {
    const PlanFile file = read_plan_file(path);
    const std::string planned = plan_in_text(file.wanted, file.seen);
    if (is_to_be_written()) {
      std::ofstream(path) << file.head << planned;
    } else if (planned != file.expected) {
      FAIL_CHECK(path << "\n--- expected\n" << file.expected << "--- planned\n" << planned);
    }
  }
}

TEST_CASE(
    "plan: each rule of the planner plans something, or ends a plan, in a file of tests/plan") {
  std::set<std::string> applied;
  for (const std::string& path : list_plan_files()) {
    const PlanFile file = read_plan_file(path);
    const Seen without_lvm = cases::without_lvm(file.seen);
    Planner planner(file.wanted, file.seen);
    Planner arbitration(file.wanted, without_lvm);
    planner.plan();
    arbitration.plan_arbitration();
    applied.insert(planner.applied().begin(), planner.applied().end());
    applied.insert(arbitration.applied().begin(), arbitration.applied().end());
  }
  for (const auto rules : {Planner::list_rules(), Planner::list_arbitration_rules()}) {
    for (const Rule& rule : rules) {
      const std::string name = rule.name;
      CAPTURE(name);
      CHECK(applied.contains(name));
    }
  }
}

TEST_CASE("plan files: a member that is unknown or has no such value is an error") {
  const plexvol::support::TemporaryDirectory directory;
  const std::string path = directory.path() / "case.plan";
  const auto error_of = [&](const std::string& wanted, const std::string& seen) -> std::string {
    std::ofstream(path) << "--- wanted\n" << wanted << "\n--- seen\n" << seen << "\n--- expected\n";
    try {
      read_plan_file(path);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  CHECK(error_of("{}", "{}").empty());
  CHECK(error_of(R"({"attached": 1})", "{}") == path + ": wanted.attached is unknown");
  CHECK(error_of(R"({"volume": {"colour": 1}})", "{}") ==
        path + R"(: wanted.volume has unknown members: {"colour":1})");
  CHECK(error_of(R"({"volume": {"replicas": [{"node": "n1", "made": true, "x": 1}]}})", "{}") ==
        path + R"(: wanted.volume.replicas has unknown members: {"x":1})");
  CHECK(error_of(R"({"peer_fate": "Lots"})", "{}") ==
        path + ": wanted.peer_fate: no such word: Lots");
  CHECK(error_of("{}", R"({"resource": {"disk": "UpToDate"}})") ==
        path + ": seen.resource.disk is unknown");
  CHECK(error_of("{}", R"({"linked": "yes"})").find(path + ": seen.linked: ") == 0);
  CHECK(error_of("{", "{}").find(path) == 0);
}
