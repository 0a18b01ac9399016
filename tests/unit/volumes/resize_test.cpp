#include "agent/volumes/resize.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "tests/unit/volumes/quiet_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)
namespace keys = store::keys;

namespace {

struct ResizeCase : QuietNode {
  model::Volume volume = put_lone_volume();

  void put_volume() { put(keys::volume("v"), model::to_json(volume)); }
  model::Volume stored() { return store.find_volume("v")->value; }
  model::Volume resize(std::uint64_t size_bytes) {
    return volumes::resize(store, use_cases.turns, "v", {.bytes = size_bytes});
  }
  // "": it is done.
  std::string refusal(std::uint64_t size_bytes, ErrorCode code) {
    const auto before = store.find_volume("v");
    try {
      resize(size_bytes);
    } catch (const Error& error) {
      CHECK(error.code() == code);
      CHECK(store.find_volume("v")->revision == before->revision);
      return error.what();
    }
    return "";
  }
  api::VolumeInfo await(std::uint64_t size_bytes) {
    return resize_and_await(store, use_cases.turns, "v", {.bytes = size_bytes},
                            {.deadline = std::chrono::steady_clock::now(), .stop = {}});
  }
};

}  // namespace

TEST_CASE("resize: the store says the new size, and that the file system is to grow") {
  ResizeCase test;
  CHECK(test.resize(3 * kGi).size_bytes == 3 * kGi);
  CHECK(test.stored().size_bytes == 3 * kGi);
  CHECK(test.stored().filesystem_grows);
  SUBCASE("once more is no change") {
    const auto revision = test.store.find_volume("v")->revision;
    test.resize(3 * kGi);
    CHECK(test.store.find_volume("v")->revision == revision);
  }
}

TEST_CASE("resize: what was never formatted may be so before its device has grown") {
  ResizeCase test;
  test.volume.format = model::Format::Never;
  test.put_volume();
  test.resize(3 * kGi);
  CHECK(test.stored().filesystem_grows);
}

TEST_CASE("resize: what cannot be done is refused, and changes nothing") {
  ResizeCase test;
  CHECK(test.refusal(kGi - 1, ErrorCode::InvalidArgument).find("cannot be made smaller") !=
        std::string::npos);
  CHECK(test.refusal(12 * kGi, ErrorCode::OutOfSpace).find("n3") != std::string::npos);
  test.volume.minor = 1000;
  test.put_volume();
  CHECK(test.refusal(2 * kGi, ErrorCode::Unavailable).find("lost a copy") != std::string::npos);
  test.volume.minor = 0;
  test.volume.deleting = true;
  test.put_volume();
  CHECK(test.refusal(2 * kGi, ErrorCode::Conflict).find("is being deleted") != std::string::npos);
}

TEST_CASE("resize: the call ends when the node has done it, or says why not") {
  ResizeCase test;
  test.put_status(kGi);
  CHECK_THROWS_WITH_AS(test.await(2 * kGi), doctest::Contains("waiting for n3"), Error);
  test.put_status(kGi, "something else");
  CHECK_THROWS_WITH_AS(test.await(2 * kGi), doctest::Contains("(something else)"), Error);
  test.put_status(kGi, model::kGrowthFailed + std::string("no room"));
  CHECK_THROWS_WITH_AS(test.await(2 * kGi), doctest::Contains("no room"), Error);
  test.put_status(2 * kGi);
  CHECK(test.await(2 * kGi).filesystem_grows);
}
