#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "agent/api/error.h"
#include "agent/kube/objects.h"

namespace plexvol::kube {

TEST_CASE("quantities are whole bytes, rounded up") {
  const std::pair<std::string, std::uint64_t> cases[] = {
      {"0", 0},
      {"1", 1},
      {"+7", 7},
      {"007", 7},
      {"10Gi", 10ULL << 30U},
      {"1.5Gi", 3ULL << 29U},
      {".5Ki", 512},
      {"5.Ki", 5120},
      {"1Ki", 1ULL << 10U},
      {"1Mi", 1ULL << 20U},
      {"1Ti", 1ULL << 40U},
      {"1Pi", 1ULL << 50U},
      {"1Ei", 1ULL << 60U},
      {"7.999Ei", 9222219115350168962ULL},
      {"500M", 500'000'000},
      {"2k", 2'000},
      {"3G", 3'000'000'000},
      {"4T", 4'000'000'000'000},
      {"5P", 5'000'000'000'000'000},
      {"1E", 1'000'000'000'000'000'000},
      {"1e9", 1'000'000'000},
      {"1E3", 1'000},
      {"1e+3", 1'000},
      {"1500e-3", 2},
      {"0.0001e4", 1},
      {"1500m", 2},
      {"1000m", 1},
      {"1m", 1},
      {"1n", 1},
      {"1u", 1},
      {"0n", 0},
      {"1e-999", 1},
      {"0e999", 0},
      {"0.000000000000000000000000000000000001", 1},
      {"1.0000000000000000000000000000000Gi", 1ULL << 30U},
      {"9223372036854775807", 9223372036854775807ULL},
      {"9223372036854775806.5", 9223372036854775807ULL},
  };
  for (const auto& [text, bytes] : cases) {
    const std::string& read = text;  // a binding cannot be captured
    CAPTURE(read);
    CHECK(parse_quantity(text) == bytes);
  }
}

TEST_CASE("what is no quantity, is negative or is too large is refused") {
  const std::string cases[] = {"",
                               "Gi",
                               "-1",
                               "-0",
                               "1 Gi",
                               " 1",
                               "1Gi ",
                               "1gi",
                               "1K",
                               "1e",
                               "1ee3",
                               "1e3Gi",
                               "1.2.3",
                               ".",
                               "++1",
                               "1e+-3",
                               "1e99999999999",
                               "1e1001",
                               "0x10",
                               "inf",
                               "1,5Gi",
                               "8Ei",

                               "1e19",
                               "9223372036854775808",
                               "9223372036854775807.1",
                               std::string(101, '0'),
                               "1\n"};
  for (const std::string& text : cases) {
    CAPTURE(text);
    try {
      parse_quantity(text);
      FAIL_CHECK("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::InvalidArgument);
      CHECK(std::string(error.what()).size() < 200);
    }
  }
}

}  // namespace plexvol::kube
