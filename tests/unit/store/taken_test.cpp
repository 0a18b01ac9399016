#include "agent/store/taken.h"

#include <doctest/doctest.h>

#include "agent/store/file_store.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol;  // NOLINT(google-build-using-namespace)

TEST_CASE(
    "taken: a new volume's slot is free on each of its nodes, whoever uses DRBD there [D15]") {
  support::TemporaryDirectory directory;
  store::FileStore raw(directory.path());
  store::TypedStore store(raw);
  store::put_taken(store, "n1", {.minors = {7, 1000, 1004}, .ports = {22, 7001}});
  store::put_taken(store, "n2", {.minors = {1002}, .ports = {}});
  using Slots = std::set<unsigned>;
  CHECK(store::list_taken_slots(store, {"n1", "n2"}, 7000) == Slots{0, 1, 2, 4});
  CHECK(store::list_taken_slots(store, {"n2", "n3"}, 7000) == Slots{2});
  const auto before = raw.get(store::keys::taken("n1"))->revision;
  store::put_taken(store, "n1", {.minors = {7, 1000, 1004}, .ports = {22, 7001}});
  CHECK(raw.get(store::keys::taken("n1"))->revision == before);
  store::put_taken(store, "n3", {});
  CHECK_FALSE(raw.get(store::keys::taken("n3")));
}
