// `drbdmeta dump-md` and `get-gi`.
#include "agent/drbd/metadata.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

void run(const std::string& bytes) {
  attempt([&] { drbd::parse_generation_identifiers(bytes); });
  attempt([&] { drbd::parse_current_uuid(bytes); });
  attempt([&] { drbd::parse_dump_identifiers(bytes); });
  attempt([&] { drbd::fill_in_dump(bytes, 0x1234567890abcdef, 64U << 20U); });
}

}  // namespace plexvol::fuzz
