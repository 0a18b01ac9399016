// How fast the link for replication is, and how much of it a resync may take.
#pragma once

#include <string>

namespace plexvol {

// In Mbit/s, as the kernel tells it of the interface that has this address. 0: unknown, as of most
// virtual ones, or below 100, which is the made-up speed of tunnels. `sys`: elsewhere only in
// tests.
unsigned find_link_speed(const std::string& address, const std::string& sys = "/sys/class/net");

// The maximum rate of one resync in MiB/s, so that `max_resyncs` of them together take at most 80 %
// of the link. Where the speed is 0, a rate that does not fill a link of 1 Gbit/s.
unsigned resync_rate_for(unsigned link_mbit, unsigned max_resyncs);

}  // namespace plexvol
