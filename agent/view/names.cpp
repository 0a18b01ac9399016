#include "agent/view/names.h"

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/base/fingerprint.h"

namespace plexvol::view {

namespace {

bool is_node_like(const std::string& name) {
  try {
    check_node_name(name);  // the same rule
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::string object_name(const std::string& volume) {
  if (is_node_like(volume)) return volume;
  std::string name;
  for (const char letter : volume) {
    if (letter >= 'A' && letter <= 'Z') {
      name += static_cast<char>(letter - 'A' + 'a');
    } else if ((letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9')) {
      name += letter;
    } else {
      name += '-';
    }
  }
  return name + '-' + base::fingerprint(volume);
}

}  // namespace plexvol::view
