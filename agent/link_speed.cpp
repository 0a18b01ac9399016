#include "agent/link_speed.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include "agent/config.h"
#include "agent/drbd/drbd.h"

namespace plexvol {

namespace {

std::string to_text(const sockaddr& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (address.sa_family == AF_INET) {
    bytes = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  } else if (address.sa_family == AF_INET6) {
    bytes = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  }
  if (bytes == nullptr ||
      inet_ntop(address.sa_family, bytes, text.data(), text.size()) == nullptr) {
    return "";
  }
  return text.data();
}

// "" when there is none.
std::string find_interface(const std::string& address) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return "";
  std::string name;
  for (const ifaddrs* one = all; one != nullptr && name.empty(); one = one->ifa_next) {
    if (one->ifa_addr != nullptr && to_text(*one->ifa_addr) == address) name = one->ifa_name;
  }
  freeifaddrs(all);
  return name;
}

}  // namespace

unsigned find_link_speed(const std::string& address, const std::string& sys) {
  constexpr long kLeast = 100;
  constexpr long kMost = 10'000'000;
  const std::string interface = address.empty() ? "" : find_interface(address);
  if (interface.empty()) return 0;
  std::ifstream file(sys + "/" + interface + "/speed");
  long mbit = 0;  // -1: unknown; not readable where the interface has no speed at all
  file >> mbit;
  return mbit < kLeast || mbit > kMost ? 0 : static_cast<unsigned>(mbit);
}

unsigned resync_rate_for(unsigned link_mbit, unsigned max_resyncs) {
  if (link_mbit == 0) return drbd::kResyncRateMib;
  constexpr std::uint64_t kPercent = 80;
  const std::uint64_t bytes = std::uint64_t{link_mbit} * 1'000'000 / 8 * kPercent / 100;
  const std::uint64_t mib = bytes / std::max(max_resyncs, 1U) / (1U << 20U);
  return static_cast<unsigned>(std::clamp<std::uint64_t>(mib, 1, kMostResyncRateMib));
}

}  // namespace plexvol
