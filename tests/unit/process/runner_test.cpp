#include "agent/process/runner.h"

#include <doctest/doctest.h>

#include "agent/api/error.h"
#include "tests/support/failing_runner.h"
#include "tests/support/scripted_runner.h"

using plexvol::Error;
using plexvol::process::said;
using plexvol::process::to_text;
using plexvol::process::without_secrets;

TEST_CASE("a command is shown as a person would type it") {
  CHECK(to_text({.argv = {"/sbin/lvcreate", "--name", "v1", "vg0"}, .input = {}}) ==
        "lvcreate --name v1 vg0");
  CHECK(to_text({.argv = {"/bin/a", "two words", "", "it's", "$(x)"}, .input = {}}) ==
        R"(a 'two words' '' 'it'\''s' '$(x)')");
  CHECK(to_text({.argv = {}, .input = {}}).empty());
}

TEST_CASE("the input of a command is not shown") {
  CHECK(to_text({.argv = {"/bin/cat"}, .input = "secret"}) == "cat");
}

TEST_CASE("secrets are taken out of texts, however they are written") {
  CHECK(without_secrets("connect --shared-secret=abc --protocol=C") ==
        "connect --shared-secret=... --protocol=C");
  CHECK(without_secrets("net { shared-secret \"a b;c\"; verify-alg x; }") ==
        "net { shared-secret \"...\"; verify-alg x; }");
  CHECK(without_secrets("shared-secret abc;\nshared-secret\tdef") ==
        "shared-secret ...;\nshared-secret\t...");
  CHECK(without_secrets("'--shared-secret=abc' x") == "'--shared-secret=...' x");
  CHECK(without_secrets("--shared-secret=\"never ends") == "--shared-secret=\"...");
  CHECK(without_secrets("shared-secret") == "shared-secret");
  CHECK(without_secrets("nothing to hide") == "nothing to hide");
  CHECK(to_text({.argv = {"/sbin/drbdsetup", "--shared-secret=abc"}, .input = {}}) ==
        "drbdsetup --shared-secret=...");
}

TEST_CASE("what a tool said is one line: stderr, or else stdout") {
  CHECK(said({.exit_code = 1, .out = "out\n", .err = "  first\n\n  second\n"}) == "first; second");
  CHECK(said({.exit_code = 1, .out = "out\n", .err = "\n"}) == "out");
  CHECK(said({.exit_code = 1, .out = "", .err = ""}) == "(nothing)");
  CHECK(said({.exit_code = 1, .out = "", .err = std::string(5000, 'x')}).size() < 2100);
}

TEST_CASE("a checked command that fails says what was run, how it ended and what it said") {
  plexvol::support::ScriptedRunner runner;
  runner.expect({"/sbin/tool", "x"}, {.exit_code = 3, .out = "", .err = "no such thing\n"});
  try {
    run_checked(runner, {.argv = {"/sbin/tool", "x"}, .input = {}});
    FAIL("it did not throw");
  } catch (const Error& error) {
    CHECK(error.code() == plexvol::ErrorCode::Internal);
    CHECK(std::string(error.what()) == "tool x: exit code 3: no such thing");
  }
}

TEST_CASE("a checked command that ends with 0 gives its output") {
  plexvol::support::ScriptedRunner runner;
  runner.expect({"/sbin/tool"}, {.exit_code = 0, .out = "rows", .err = "warning"});
  CHECK(run_checked(runner, {.argv = {"/sbin/tool"}, .input = {}}).out == "rows");
  CHECK(runner.is_done());
}

TEST_CASE("the failing runner fails the k-th command only, before or after its effect") {
  plexvol::support::ScriptedRunner inner;
  inner.expect({"/a"}).expect({"/c"});
  plexvol::support::FailingRunner before(inner, 2);
  CHECK(before.run({.argv = {"/a"}, .input = {}}).exit_code == 0);
  CHECK(before.run({.argv = {"/b"}, .input = {}}).exit_code != 0);
  CHECK(before.run({.argv = {"/c"}, .input = {}}).exit_code == 0);
  CHECK(before.count() == 3);

  inner.expect({"/a"});
  plexvol::support::FailingRunner after(inner, 1, plexvol::support::FailsWhen::After);
  CHECK(after.run({.argv = {"/a"}, .input = {}}).exit_code != 0);
  CHECK(inner.is_done());
}
