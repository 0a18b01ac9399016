// Tells one text from another, where nobody tries to make two alike: the same on every node and in
// every version, since fingerprints are compared across both.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace plexvol::base {

// 16 hexadecimal digits.
std::string to_hex(std::uint64_t number);

// FNV-1a, as to_hex() writes it.
std::string fingerprint(std::string_view text);

}  // namespace plexvol::base
