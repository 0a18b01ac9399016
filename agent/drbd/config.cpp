// The configuration file of one resource, as drbd.conf(5) has it.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <string_view>
#include <utility>

#include "agent/api/error.h"
#include "agent/drbd/config_text.h"
#include "agent/drbd/drbd.h"

namespace plexvol::drbd {
namespace {

constexpr std::size_t kMostName = 127;   // of the kernel's netlink attribute
constexpr std::size_t kMostSecret = 63;  // SHARED_SECRET_MAX with its end

[[noreturn]] void reject(const std::string& what, const std::string& text) {
  throw Error(ErrorCode::InvalidArgument, fmt::format("DRBD resource: {}: \"{}\"", what, text));
}

bool consists_of(std::string_view text, std::string_view others) {
  return std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return std::isalnum(c) != 0 || others.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

void check_device(const std::string& path) {
  if (!path.starts_with("/dev/") || !consists_of(path, "/._-+:") ||
      path.find("..") != std::string::npos) {
    reject("not the path of a device", path);
  }
}

std::string node_id(const Host& host, Generation generation) {
  return generation == Generation::Nine ? fmt::format("node-id {}; ", host.number) : "";
}

// "10.77.0.1:7000", "ipv6 [fd00::1]:7000"
std::string endpoint(const Host& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  if (host.port == 0) reject("the port of this node is not set", host.node);
  const std::string port = ":" + std::to_string(host.port);
  if (inet_pton(AF_INET, host.address.c_str(), bytes.data()) == 1) return host.address + port;
  if (inet_pton(AF_INET6, host.address.c_str(), bytes.data()) == 1) {
    return fmt::format("ipv6 [{}]{}", host.address, port);
  }
  reject("neither an IPv4 nor an IPv6 address", host.address);
}

void check(const Resource& resource) {
  check_resource_name(resource.name);
  check_device(resource.data_device);
  check_device(resource.metadata_device);
  if (resource.data_device == resource.metadata_device) {
    reject("data and metadata are the same device", resource.data_device);
  }
  // The text of a secret never stands in a message.
  if (resource.secret.empty() || resource.secret.size() > kMostSecret ||
      !consists_of(resource.secret, "._-+/=")) {
    reject("the secret must be 1 to 63 letters, digits or ._-+/=", resource.name);
  }
  if (endpoint(resource.here) == endpoint(resource.peer)) {
    reject("both nodes have the same address", endpoint(resource.here));
  }
  if (resource.here.number == resource.peer.number) {
    reject("both nodes have the same number", std::to_string(resource.here.number));
  }
}

// Why each value:
// - resource-and-stonith holds I/O back until the peer is known to be out of use; resource-only
//   does not.
// - after-sb-*: two histories are never resolved by a rule, only by who won the arbitration.
// - csums-alg: without one, a full resync fills a thin volume. Not crc32c: it takes one different
//   block in 4 billion for equal, and 1 TiB that is new to the peer has 268 million blocks.
// - ping-int, ping-timeout, timeout: an idle node notices a dead peer within 5.5 s, since DRBD
//   sends its ping only when nothing came for ping-int, and checks that every ping-int
//   (measured: 10.4 s with 5 s). A node that writes notices it sooner.
// - socket-check-timeout: how long a new connection waits to see that its sockets stay; without
//   it, ping-timeout (measured: 0.7 s until connected instead of 1.7 s).
// - ko-count: a peer whose disk takes 28 s for a write is disconnected.
// - auto-promote, quorum (DRBD 9): the arbiter decides who may be primary.
constexpr std::string_view kNineOptions = R"(  options { auto-promote no; quorum off; }
)";

// How fast a resync runs, in the disk section. drbdadm adjust changes these online, and an agent
// disconnects no volume for them: see without_resync_options().
// - c-plan-ahead: the controller follows what the link and the peer's disk take. c-max-rate is only
//   its upper limit, and resync-rate only where it starts.
// - c-fill-target: the resync's data in flight, which a pod's write waits behind when the link is
//   full: 10 ms at the maximum rate, but from 1 MiB to max-buffers (8 MiB).
// - c-min-rate: a resync slows down to this while a pod uses the disk.
constexpr std::array<std::string_view, 5> kResyncKeys = {
    "resync-rate", "c-plan-ahead", "c-fill-target", "c-min-rate", "c-max-rate"};

std::string resync_options(unsigned rate_mib) {
  const auto option = [](std::string_view key, unsigned value, const char* unit) {
    return fmt::format("    {} {}{};\n", key, value, unit);
  };
  return option("resync-rate", std::min(20U, rate_mib), "M") + option("c-plan-ahead", 20, "") +
         option("c-fill-target", std::clamp(rate_mib / 100, 1U, 8U), "M") +
         option("c-min-rate", std::min(4U, rate_mib), "M") + option("c-max-rate", rate_mib, "M");
}

constexpr std::string_view kNetOptions = R"(    verify-alg crc32c;
    csums-alg sha256;
    after-sb-0pri disconnect;
    after-sb-1pri disconnect;
    after-sb-2pri disconnect;
    ping-int 2;
    ping-timeout 15;
    timeout 19;
    ko-count 15;
    connect-int 5;
    socket-check-timeout 5;
)";

}  // namespace

void check_resource_name(const std::string& name) {
  const bool starts_well = !name.empty() && std::isalnum(static_cast<unsigned char>(name[0])) != 0;
  if (!starts_well || name.size() > kMostName || !consists_of(name, "._-")) {
    reject("not a valid resource name (letters and digits; after the first also ._-)", name);
  }
  // drbdsetup takes such a name for every resource there is, or for a minor number: an adjust then
  // takes others apart.
  const bool only_digits = name.find_first_not_of("0123456789") == std::string::npos;
  if (name == "all" || only_digits) {
    reject("DRBD's tools give this name another meaning; choose another name", name);
  }
}

std::string to_config(const Resource& resource, Generation generation, unsigned resync_rate_mib) {
  check(resource);
  std::string text =
      "# Made by Plexvol and written over when it changes. Volume " + resource.name + ".\n";
  text += "global { usage-count no; }\n";
  text += "resource \"" + resource.name + "\" {\n";
  constexpr const char* kFencing = "    fencing resource-and-stonith;\n";
  const bool nine = generation == Generation::Nine;
  if (nine) text += kNineOptions;
  text += "  protocol C;\n  disk {\n";
  if (!nine) text += kFencing;
  text += "    on-io-error detach;\n" + resync_options(resync_rate_mib);
  text += "  }\n  net {\n";
  if (nine) text += kFencing;
  text += "    cram-hmac-alg sha256;\n    shared-secret \"" + resource.secret + "\";\n";
  text += kNetOptions;
  text += "  }\n";
  text += "  device minor " + std::to_string(resource.minor) + ";\n";
  text += "  disk \"" + resource.data_device + "\";\n";
  text += "  meta-disk \"" + resource.metadata_device + "\";\n";
  // drbdadm looks for the kernel's own name of this machine, which a Kubernetes node need not have;
  // this word is always us.
  for (const auto& [name, host] :
       {std::pair("_this_host", &resource.here), std::pair("_remote_host", &resource.peer)}) {
    text += std::string("  on \"") + name + "\" { " + node_id(*host, generation) + "address " +
            endpoint(*host) + "; }\n";
  }
  text += "}\n";
  return text;
}

std::optional<unsigned> find_minor(std::string_view config) {
  constexpr std::string_view kKey = "\n  device minor ";
  const std::size_t at = config.find(kKey);
  if (at == std::string_view::npos) return std::nullopt;
  unsigned minor = 0;
  const char* begin = config.data() + at + kKey.size();
  const auto [end, error] = std::from_chars(begin, config.data() + config.size(), minor);
  if (error != std::errc{} || end == config.data() + config.size() || *end != ';')
    return std::nullopt;
  return minor;
}

namespace {

template <class Test>
std::string select_lines(std::string_view config, Test is_wanted) {
  std::string found;
  while (!config.empty()) {
    const std::size_t length = std::min(config.find('\n'), config.size() - 1) + 1;
    if (is_wanted(config.substr(0, length))) found += config.substr(0, length);
    config.remove_prefix(length);
  }
  return found;
}

}  // namespace

std::string connection_lines(std::string_view config) {
  return select_lines(config, [](std::string_view line) {
    return line.starts_with("  on \"") || line.find(" shared-secret \"") != std::string_view::npos;
  });
}

std::string without_resync_options(std::string_view config) {
  return select_lines(config, [](std::string_view line) {
    return std::none_of(kResyncKeys.begin(), kResyncKeys.end(), [&](std::string_view key) {
      return line.starts_with("    " + std::string(key) + " ");
    });
  });
}

}  // namespace plexvol::drbd
