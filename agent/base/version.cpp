#include "agent/base/version.h"

#include <charconv>

namespace plexvol::base {

Version parse_version(std::string_view text) {
  Version version{};
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  for (std::size_t i = 0; i < version.size(); ++i) {
    const auto [next, error] = std::from_chars(at, end, version[i]);
    if (error != std::errc())
      return i == 2 && error == std::errc::invalid_argument ? version : Version{};
    at = next;
    if (at == end || *at != '.') return i == 0 ? Version{} : version;
    ++at;
  }
  return version;
}

}  // namespace plexvol::base
