// `drbdsetup events2`: a whole picture, and single lines of its stream.
#include "agent/drbd/drbd.h"
#include "agent/drbd/events.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

void run(const std::string& bytes) {
  if (const auto line = drbd::parse_event_line(bytes)) {
    const auto value = drbd::find_field(line->fields, "name");
    expect(value.size() <= bytes.size());
  }
  drbd::parse_events2(bytes);
}

}  // namespace plexvol::fuzz
