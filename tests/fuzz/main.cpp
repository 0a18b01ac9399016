// libFuzzer's entry point, the same for every target.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/target.h"

// NOLINTNEXTLINE(readability-identifier-naming): the library's own name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using plexvol::fuzz::attempt;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  attempt([&] { plexvol::fuzz::run(bytes); });
  return 0;
}
