#include "agent/drbd/known_faults.h"

#include <doctest/doctest.h>

#include <string>

using plexvol::drbd::find_known_fault;

TEST_CASE("known faults: only versions that are good are taken for good") {
  for (const char* good : {"8.4.4", "8.4.11", "8.4.11-1", "9.0.26", "9.0.32-1", "9.1.7", "9.2.0"}) {
    CAPTURE(good);
    CHECK(find_known_fault(good).empty());
  }
  for (const char* bad : {"8.3.16", "8.4.0", "8.4.3", "9.0.25", "9.1.6", "", "nonsense"}) {
    CAPTURE(bad);
    CHECK_FALSE(find_known_fault(bad).empty());
  }
  CHECK(find_known_fault("8.4.3").ends_with("upgrade to 8.4.4 or later"));
}
