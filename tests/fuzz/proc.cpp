// /proc, where every process chooses its own name.
#include "agent/process/proc.h"

#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

void run(const std::string& bytes) {
  process::parse_stat(bytes);
}

}  // namespace plexvol::fuzz
