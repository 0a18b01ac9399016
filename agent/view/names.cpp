#include "agent/view/names.h"

#include <fmt/core.h>

#include <cstdint>

#include "agent/api/error.h"
#include "agent/api/names.h"

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

// FNV-1a, 64 bits: it only has to tell names of one cluster apart.
std::uint64_t hash(const std::string& text) {
  std::uint64_t value = 0xcbf29ce484222325U;
  for (const char letter : text) {
    value ^= static_cast<unsigned char>(letter);
    value *= 0x100000001b3U;
  }
  return value;
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
  return fmt::format("{}-{:016x}", name, hash(volume));
}

}  // namespace plexvol::view
