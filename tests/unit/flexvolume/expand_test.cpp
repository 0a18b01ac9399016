#include <doctest/doctest.h>

#include <string>

#include "tests/unit/volumes/quiet_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)

namespace {

// Its volume is mounted.
struct ExpandCase : QuietNode {
  ExpandCase() {
    put_lone_volume();
    put_status(kGi);
  }
  std::uint64_t size_bytes() { return store.find_volume("v")->value.size_bytes; }
  std::string expand(std::uint64_t size) {
    return flexvolume
        .expand({.options = {{"volume", "v"}}, .target = "/pods/1", .size = size},
                {.deadline = std::chrono::steady_clock::now(), .stop = {}})
        .message;
  }
  void mount() {
    flexvolume.mounted(
        {.call_id = calls.begin("v"), .target = "/pods/1", .mounted = true, .message = ""});
  }
};

}  // namespace

TEST_CASE("expand: the volume becomes as large as its claim [K12]") {
  ExpandCase test;
  test.put_status(2 * kGi);
  CHECK(test.expand(2 * kGi - 1) == "");  // rounded up as any other size
  CHECK(test.size_bytes() == 2 * kGi);
  SUBCASE("a claim that is smaller changes nothing") {
    CHECK(test.expand(kGi) == "");
    CHECK(test.size_bytes() == 2 * kGi);
  }
}

TEST_CASE("expand: a pod that runs waits, one that is about to start does not") {
  ExpandCase test;
  CHECK_THROWS_WITH_AS(test.expand(2 * kGi), doctest::Contains("waiting for n3"), Error);
  CHECK_THROWS_WITH_AS(test.expand(99 * kGi), doctest::Contains("v cannot grow by 97Gi: node n3"),
                       Error);
  test.mount();
  CHECK(test.expand(99 * kGi).find("the pod starts with what there is") != std::string::npos);
  // It runs now.
  CHECK_THROWS_AS(test.expand(99 * kGi), Error);
  test.mount();
  test.flexvolume.unmounted({.target = "/pods/1"});
  CHECK_THROWS_AS(test.expand(99 * kGi), Error);
  CHECK(test.size_bytes() == 2 * kGi);
}

TEST_CASE("expand: a mount is recent once, and for some seconds") {
  flexvolume::RecentMounts recent;
  const auto begin = flexvolume::RecentMounts::Clock::now();
  recent.add("/a", begin);
  CHECK_FALSE(recent.take("/b", begin));
  CHECK(recent.take("/a", begin + std::chrono::seconds(1)));
  CHECK_FALSE(recent.take("/a", begin + std::chrono::seconds(1)));
  recent.add("/a", begin);
  CHECK_FALSE(recent.take("/a", begin + std::chrono::seconds(60)));
}
