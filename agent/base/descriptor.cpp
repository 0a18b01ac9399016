#include "agent/base/descriptor.h"

#include <cerrno>

namespace plexvol::base {

void Descriptor::reset() {
  if (number_ < 0) return;
  const int before = errno;
  ::close(release());
  errno = before;
}

}  // namespace plexvol::base
