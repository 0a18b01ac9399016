#include "agent/config_check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <climits>
#include <map>
#include <optional>
#include <set>

#include "agent/api/names.h"
#include "agent/base/files.h"
#include "agent/link_speed.h"
#include "agent/model/model.h"

namespace plexvol {
namespace {

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  gethostname(name.data(), name.size() - 1);
  std::string text(name.data());
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void check_range(const char* path, unsigned value, unsigned least, unsigned most) {
  if (value >= least && value <= most) return;
  throw BadValue(path, fmt::format("must be from {} to {}, not {}", least, most, value));
}

void check_absolute(const char* path, const std::string& value) {
  if (!value.starts_with('/')) throw BadValue(path, fmt::format("\"{}\" must begin with /", value));
}

void check_pools(const std::vector<reconcile::PoolSettings>& pools) {
  // What a pool of each type needs besides its name; it may have nothing else.
  const std::map<std::string, std::set<std::string>> needed = {
      {"lvm", {"volume_group"}},
      {"lvm-thin", {"volume_group", "thin_pool"}},
      {"file", {"directory"}},
  };
  std::set<std::string> names;
  for (const reconcile::PoolSettings& pool : pools) {
    try {
      check_pool_name(pool.name);
    } catch (const Error& error) {
      throw BadValue("pools", error.what());
    }
    const std::string who = "pool " + pool.name;
    if (!names.insert(pool.name).second) throw BadValue("pools", who + " is defined twice");
    const auto type = needed.find(pool.type);
    if (type == needed.end()) {
      throw BadValue("pools", fmt::format("{}: unknown type \"{}\"; use lvm, lvm-thin or file", who,
                                          pool.type));
    }
    const std::map<std::string, std::string> fields = {{"volume_group", pool.volume_group},
                                                       {"thin_pool", pool.thin_pool},
                                                       {"directory", pool.directory}};
    for (const auto& [key, value] : fields) {
      const bool there = !value.empty();
      if (type->second.contains(key) == there) continue;
      throw BadValue("pools", fmt::format("{}, of type {}, {} a {}", who, pool.type,
                                          there ? "may not have" : "needs", key));
    }
    if (pool.type == "lvm" && pool.max_promised_percent != 0) {
      throw BadValue("pools", who +
                                  ", of type lvm, may not have a max_promised_percent: it never "
                                  "promises more than it has");
    }
    constexpr unsigned kMostPercent = 100'000;
    if (pool.max_promised_percent > kMostPercent) {
      throw BadValue("pools",
                     fmt::format("{}: max_promised_percent must be from 0 (no limit) to {}, not {}",
                                 who, kMostPercent, pool.max_promised_percent));
    }
    if (pool.type == "file" && pool.directory.front() != '/') {
      throw BadValue("pools",
                     fmt::format("{}: directory \"{}\" must begin with /", who, pool.directory));
    }
  }
}

using Setting = std::pair<std::string, std::string>;

void check_pair(const Setting& one, const Setting& other) {
  if (one.second.empty() == other.second.empty()) return;
  const bool first = !one.second.empty();
  throw BadValue(first ? one.first : other.first, "needs " + (first ? other.first : one.first));
}

void check_store(const StoreConfig& store) {
  check_range("store.lease_seconds", store.lease_seconds, 5, 600);
  check_absolute("store.directory", store.directory);
  if (store.kind != "embedded" && store.kind != "etcd") {
    throw BadValue("store.kind",
                   fmt::format("unknown kind \"{}\"; use embedded or etcd", store.kind));
  }
  if (store.kind == "embedded") return;
  if (store.endpoints.empty()) throw BadValue("store.endpoints", "etcd needs at least one");
  for (const std::string& endpoint : store.endpoints) {
    if (endpoint.starts_with("http://") || endpoint.starts_with("https://")) continue;
    throw BadValue("store.endpoints",
                   fmt::format("\"{}\" must begin with http:// or https://", endpoint));
  }
  check_pair({"store.certificate_file", store.certificate_file},
             {"store.key_file", store.key_file});
  check_pair({"store.user", store.user}, {"store.password_file", store.password_file});
  if (!store.prefix.starts_with('/') || !store.prefix.ends_with('/')) {
    throw BadValue("store.prefix", fmt::format("\"{}\" must begin and end with /", store.prefix));
  }
}

void check_drbd(const DrbdConfig& drbd) {
  check_absolute("drbd.config_directory", drbd.config_directory);
  check_absolute("drbd.helper", drbd.helper);
  constexpr std::size_t kHelperLimit = 80;  // of the kernel module's parameter
  if (drbd.helper.size() >= kHelperLimit) {
    throw BadValue("drbd.helper",
                   fmt::format("the kernel accepts fewer than {} characters, and this path has {}",
                               kHelperLimit, drbd.helper.size()));
  }
  check_range("drbd.first_port", drbd.first_port, 1024, 65536 - model::kSlots);
  check_range("drbd.max_resyncs", drbd.max_resyncs, 1, 100);
  check_range("drbd.short_resync_mib", drbd.short_resync_mib, 0, 1U << 20U);
  check_range("drbd.resync_rate_mib", drbd.resync_rate_mib, 0, kMostResyncRateMib);
  check_range("drbd.newest", drbd.newest, 8, 9);
  check_range("drbd.connect_seconds", drbd.connect_seconds, 1, 600);
}

// nullopt: it can be read, or is not named.
std::optional<std::string> problem_of(const std::string& key, const std::string& path) {
  if (path.empty()) return std::nullopt;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat info {};
  const bool known = file >= 0 && ::fstat(file, &info) == 0;
  const std::string why = known ? "it is not a regular file" : base::error_text(errno);
  if (file >= 0) ::close(file);
  if (known && S_ISREG(info.st_mode)) return std::nullopt;
  return fmt::format("{}: cannot read {}: {}", key, path, why);
}

}  // namespace

std::vector<std::string> unreadable_files(const Config& config) {
  const StoreConfig& store = config.store;
  if (store.kind == "embedded") return {};
  std::vector<std::string> problems;
  for (const auto& [key, path] : {std::pair{"store.ca_file", store.ca_file},
                                  {"store.certificate_file", store.certificate_file},
                                  {"store.key_file", store.key_file},
                                  {"store.password_file", store.password_file}}) {
    if (auto problem = problem_of(key, path)) problems.push_back(*std::move(problem));
  }
  return problems;
}

// Connecting a datagram socket asks the routing table, and sends nothing.
std::string default_route_address() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);
  address.sin_addr.s_addr = htonl(0xC0000201);  // 192.0.2.1, of the network kept for documentation
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return "";
  const bool known =
      connect(socket, generic, size) == 0 && getsockname(socket, generic, &size) == 0;
  close(socket);
  std::array<char, INET_ADDRSTRLEN> text{};
  if (!known || inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size()) == nullptr) {
    return "";
  }
  return text.data();
}

void fill_in(Config& config) {
  if (config.node_name.empty()) config.node_name = host_name();
  config.address_is_set = !config.address.empty();
  if (!config.address_is_set) config.address = default_route_address();
  if (config.store.directory.empty()) config.store.directory = config.state_directory + "/store";
  if (config.drbd.config_directory.empty()) {
    config.drbd.config_directory = config.state_directory + "/drbd.d";
  }
  if (config.drbd.resync_rate_mib == 0) {
    config.drbd.resync_rate_mib =
        resync_rate_for(find_link_speed(config.address), config.drbd.max_resyncs);
  }
}

void check(const Config& config) {
  try {
    check_node_name(config.node_name);
  } catch (const Error& error) {
    throw BadValue("node_name", error.what());
  }
  std::array<unsigned char, sizeof(in6_addr)> ignored{};
  const std::string& address = config.address;
  if (!address.empty() && inet_pton(AF_INET, address.c_str(), ignored.data()) != 1 &&
      inet_pton(AF_INET6, address.c_str(), ignored.data()) != 1) {
    throw BadValue("address", fmt::format("\"{}\" is not an IP address", address));
  }
  if (config.sockets.empty()) throw BadValue("sockets", "at least one is needed");
  for (const std::string& socket : config.sockets) check_absolute("sockets", socket);
  if (config.runtime_sockets.empty()) throw BadValue("runtime_sockets", "at least one is needed");
  for (const std::string& socket : config.runtime_sockets)
    check_absolute("runtime_sockets", socket);
  check_absolute("state_directory", config.state_directory);
  check_absolute("device_directory", config.device_directory);
  check_range("rebuild_seconds", config.rebuild_seconds, 1, 30 * 24 * 3600);
  check_range("ended_pod_seconds", config.ended_pod_seconds, 1, 24 * 3600);
  check_range("workers", config.workers, 1, 64);
  check_range("max_connections", config.max_connections, 8, 4096);
  const std::set<std::string> levels = {"trace", "debug", "info", "warning", "error"};
  if (!levels.contains(config.log_level)) {
    throw BadValue("log_level",
                   fmt::format("unknown level \"{}\"; use trace, debug, info, warning or error",
                               config.log_level));
  }
  check_pools(config.pools);
  check_store(config.store);
  check_drbd(config.drbd);
}

}  // namespace plexvol
