#include "agent/api/random.h"

#include <sys/random.h>

#include <array>
#include <cerrno>

#include "agent/api/error.h"

namespace plexvol {

std::string random_hex(std::size_t digits) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  while (text.size() < digits) {
    std::array<unsigned char, 64> bytes{};
    const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(ErrorCode::Internal, "the kernel gives no random numbers");
    for (ssize_t i = 0; i < got && text.size() < digits; ++i) {
      text += kDigits[bytes.at(static_cast<std::size_t>(i)) % 16];
    }
  }
  return text;
}

std::string random_uuid() {
  std::string hex = random_hex(32);
  hex[12] = '4';
  constexpr const char* kVariants = "89ab";
  hex[16] = kVariants[static_cast<unsigned char>(hex[16]) % 4];
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" +
         hex.substr(16, 4) + "-" + hex.substr(20);
}

}  // namespace plexvol
