// The embedded store's file after whatever befell its disk.
#include "agent/store/file_format.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

void run(const std::string& bytes) {
  const store::ParsedFile parsed = store::parse_file(bytes);
  expect(parsed.good_bytes <= bytes.size());
  const std::string base = store::to_base(parsed.contents);
  expect(store::to_base(store::parse_file(base).contents) == base);
}

}  // namespace plexvol::fuzz
