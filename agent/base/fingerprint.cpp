#include "agent/base/fingerprint.h"

namespace plexvol::base {

std::string to_hex(std::uint64_t number) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += kDigits[(number >> shift) % 16];
  return text;
}

std::string fingerprint(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return to_hex(hash);
}

}  // namespace plexvol::base
