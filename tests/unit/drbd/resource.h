// A resource as tests need it.
#pragma once

#include <cstdint>
#include <string>

#include "agent/api/error.h"
#include "agent/drbd/drbd.h"

namespace plexvol::drbd {

inline constexpr std::uint64_t kMib = 1U << 20U;
// Of new data, as we write it into metadata.
inline const std::string kUuid = "1234567890ABCDE0";

inline Resource sample_resource() {
  return {.name = "v1",
          .minor = 1000,
          .secret = "c2VjcmV0",
          .data_device = "/dev/vg0/v1",
          .metadata_device = "/dev/vg0/v1.meta",
          .here = {.node = "n1", .address = "10.77.0.1", .port = 7000},
          .peer = {.node = "n2", .address = "10.77.0.2", .port = 7000, .number = 1}};
}

struct Failure {
  ErrorCode code{};
  std::string message;
};

// Of work that must fail; an empty message when it did not.
template <class Work>
Failure failure_of(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

}  // namespace plexvol::drbd
