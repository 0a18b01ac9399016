#include "agent/controller/known_volumes.h"

#include <doctest/doctest.h>

using namespace plexvol;
using controller::KnownVolumes;

namespace {

api::VolumeInfo volume_in_state(const std::string& name, const std::string& state) {
  api::VolumeInfo made;
  made.name = name;
  made.state = state;
  return made;
}

}  // namespace

TEST_CASE("a list that was asked for before something was learned does not undo it") {
  int changes = 0;
  KnownVolumes known([&] { ++changes; });
  CHECK_FALSE(known.is_listed());
  const auto before = base::Clock::now();
  known.learn(volume_in_state("new", "Ready"));
  CHECK_FALSE(known.is_listed());
  known.replace({volume_in_state("old", "Ready")}, before);
  CHECK(known.is_listed());
  CHECK(known.all().size() == 2);
  known.replace({volume_in_state("new", "Creating")}, before);
  CHECK(known.find("new")->state == "Ready");
  known.replace({volume_in_state("new", "Degraded")}, base::Clock::now());
  CHECK(known.find("new")->state == "Degraded");
  CHECK_FALSE(known.find("old"));
  CHECK(changes == 4);
}
