// `drbdsetup show`, and the text of a configuration file.
#include "agent/drbd/config_text.h"
#include "agent/drbd/events.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

void run(const std::string& bytes) {
  drbd::parse_endpoints(bytes);
  drbd::find_minor(bytes);
  drbd::connection_lines(bytes);
  drbd::check_resource_name(bytes);
}

}  // namespace plexvol::fuzz
