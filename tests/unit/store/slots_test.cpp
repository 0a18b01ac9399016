#include "agent/store/slots.h"

#include <doctest/doctest.h>

using namespace plexvol;         // NOLINT(google-build-using-namespace)
using namespace plexvol::store;  // NOLINT(google-build-using-namespace)

TEST_CASE("slots: a number is not used again soon, and the usual ones come first") {
  CHECK(choose_slot({}, 0) == 0);
  CHECK(choose_slot({0, 1}, 1) == 2);
  CHECK(choose_slot({}, 7) == 7);
  CHECK(choose_slot({}, model::kUsualSlots) == 0);
  CHECK(choose_slot({0, 1}, 3 * model::kUsualSlots) == 2);
  std::set<unsigned> usual;
  for (unsigned slot = 0; slot < model::kUsualSlots; ++slot) usual.insert(slot);
  CHECK(choose_slot(usual, 5) == model::kUsualSlots);
  usual.erase(3);
  CHECK(choose_slot(usual, 5) == 3);
  std::set<unsigned> all;
  for (unsigned slot = 0; slot < model::kSlots; ++slot) all.insert(slot);
  CHECK_THROWS_AS(choose_slot(all, 5), Error);
  all.erase(model::kSlots - 1);
  CHECK(choose_slot(all, 5) == model::kSlots - 1);
}
