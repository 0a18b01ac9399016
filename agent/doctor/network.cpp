// The store, and the way to the other nodes.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/doctor/look.h"
#include "agent/process/proc.h"

namespace plexvol::doctor {

namespace {

constexpr unsigned kPorts = model::kUsualSlots;
constexpr int kConnectMilliseconds = 1500;

struct Target {
  std::string what;  // for a person: "n2 (10.0.0.2)"
  std::string host;
  std::string port;
};

std::string words_of(int error) {
  return base::error_text(error);
}

std::string numeric_address(const sockaddr& address, socklen_t size) {
  char text[NI_MAXHOST] = {};
  if (::getnameinfo(&address, size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) != 0) return "";
  return std::string(text, std::strcspn(text, "%"));
}

bool is_ours(const std::string& address) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return false;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, &::freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    const sockaddr* found = entry->ifa_addr;
    if (found == nullptr) continue;
    if (found->sa_family != AF_INET && found->sa_family != AF_INET6) continue;
    const socklen_t size = found->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (numeric_address(*found, size) == address) return true;
  }
  return false;
}

// 0: something answered there, be it that nothing listens. Else the error that a person needs.
int try_to_reach(const Target& target) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(target.host.c_str(), target.port.c_str(), &wanted, &list) != 0) return ENXIO;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, &::freeaddrinfo);
  const base::Descriptor socket(
      ::socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return errno;
  if (::connect(socket.get(), list->ai_addr, list->ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd waiting{.fd = socket.get(), .events = POLLOUT, .revents = 0};
  if (::poll(&waiting, 1, kConnectMilliseconds) <= 0) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

// "https://10.0.0.1:2379", "http://[fd00::1]:2379"
Target target_of(const std::string& endpoint) {
  std::string rest = endpoint.substr(endpoint.find("//") + 2);
  const std::size_t colon = rest.rfind(':');
  std::string host = rest.substr(0, colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  return {.what = endpoint, .host = host, .port = rest.substr(colon + 1)};
}

void look_at_endpoints(const Examination& examination) {
  const auto& endpoints = examination.subject.endpoints;
  std::string down;
  std::size_t up = 0;
  for (const std::string& endpoint : endpoints) {
    const int error = try_to_reach(target_of(endpoint));
    if (error == 0) {
      ++up;
    } else {
      down += fmt::format("{}{} ({})", down.empty() ? "" : ", ", endpoint, words_of(error));
    }
  }
  constexpr const char* kWhat = "etcd's members";
  const std::string wanted = "all answer";
  if (down.empty()) return examination.report.ok(kWhat, fmt::format("{} answer", up), wanted);
  examination.report.warn(
      kWhat, "no answer from " + down, wanted,
      "start etcd there; volumes keep working while a majority of the members answers");
}

void look_at_reach(const Examination& examination) {
  const Subject& subject = examination.subject;
  const auto alive = subject.store->list_alive_nodes();
  const std::string port = std::to_string(subject.first_port);
  for (const model::Node& node : subject.store->list_nodes()) {
    if (node.name == subject.here || node.address.empty() || !alive.contains(node.name)) continue;
    const std::string what = "connection to " + node.name;
    const std::string where = fmt::format("{}:{}", node.address, port);
    const int error = try_to_reach({.what = node.name, .host = node.address, .port = port});
    const std::string wanted = "reachable (\"connection refused\" is fine)";
    // Refused: the packets go there and back.
    if (error == 0 || error == ECONNREFUSED) {
      examination.report.ok(what, where + " answers", wanted);
      continue;
    }
    examination.report.fault(
        what, fmt::format("{}: {}", where, words_of(error)), wanted,
        fmt::format("open TCP ports {} to {} between the two nodes in both directions (firewall, "
                    "network policy, security group), and run plexvol doctor on that node, too",
                    port, subject.first_port + kPorts - 1));
  }
}

// Of /proc/net/tcp and tcp6: the ports of our range that something listens on, by the socket's
// inode.
void find_listeners(const std::string& table, unsigned first,
                    std::map<std::string, unsigned long>& found) {
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    words >> number >> local >> remote >> state >> queues >> timer >> retransmits >> uid >>
        timeout >> inode;
    constexpr const char* kListen = "0A";
    const std::size_t colon = local.rfind(':');
    if (state != kListen || colon == std::string::npos) continue;
    const unsigned long port = std::strtoul(local.c_str() + colon + 1, nullptr, 16);
    if (port >= first && port < first + kPorts) found[inode] = port;
  }
}

// "7003 by python3 (pid 412)" for each that is a program's. What no process has open is the
// kernel's own: DRBD's.
std::set<std::string> find_programs(const std::map<std::string, unsigned long>& listeners) {
  std::set<std::string> programs;
  if (listeners.empty()) return programs;
  for (const pid_t pid : process::list_processes()) {
    for (const int open : process::list_descriptors(pid)) {
      const std::string target =
          process::read_link(process::path_of(pid, fmt::format("fd/{}", open)));
      constexpr std::string_view kSocket = "socket:[";
      if (!target.starts_with(kSocket)) continue;
      const auto found =
          listeners.find(target.substr(kSocket.size(), target.size() - kSocket.size() - 1));
      if (found == listeners.end()) continue;
      programs.insert(
          fmt::format("{} by {} (pid {})", found->second, process::command_of(pid), pid));
    }
  }
  return programs;
}

void look_at_ports(const Examination& examination) {
  const Subject& subject = examination.subject;
  std::map<std::string, unsigned long> listeners;
  for (const char* table : {"/net/tcp", "/net/tcp6"}) {
    find_listeners(base::read_file(subject.places.proc + table).value_or(""), subject.first_port,
                   listeners);
  }
  std::string taken;
  for (const std::string& program : find_programs(listeners)) {
    taken += (taken.empty() ? "" : ", ") + program;
  }
  constexpr const char* kWhat = "ports for DRBD";
  const unsigned last_port = subject.first_port + kPorts - 1;
  const std::string range_free = fmt::format("{} to {} free", subject.first_port, last_port);
  if (!taken.empty()) {
    return examination.report.fault(
        kWhat, "taken: " + taken, range_free,
        "set drbd.first_port to a free range, the same on all nodes, before you create volumes; or "
        "move the program that listens on that port");
  }
  std::istringstream limits(
      base::read_file(subject.places.proc + "/sys/net/ipv4/ip_local_port_range").value_or(""));
  unsigned low = 32768;
  limits >> low;
  const auto reserved =
      base::read_file(subject.places.proc + "/sys/net/ipv4/ip_local_reserved_ports").value_or("\n");
  if (low >= subject.first_port + kPorts || reserved != "\n") {
    return examination.report.ok(kWhat, range_free, range_free);
  }
  examination.report.warn(
      kWhat, fmt::format("outgoing connections use the ports from {}", low), range_free,
      fmt::format(
          "sysctl net.ipv4.ip_local_reserved_ports={}-{}: otherwise one of them may occupy a "
          "volume's port",
          subject.first_port, last_port));
}

// Nothing is written, since no key has such a revision; but etcd refuses already to look at what
// would be, when it has no space (it answers reads all the same) or no leader.
void try_to_write(store::TypedStore& store) {
  const std::string key = store::keys::node("");
  store.commit(store::Change().require(key, std::numeric_limits<std::int64_t>::max()).put(key, ""));
}

void look_at_records(const Examination& examination) {
  for (const store::Unreadable& unreadable : examination.subject.store->list_unreadable()) {
    examination.report.fault("store's record " + unreadable.key, unreadable.why,
                             "readable by this version",
                             "until this is fixed, the agent leaves what this record describes "
                             "unchanged; everything else works");
  }
}

// Agents of 0.1.0 do not ask whether a name is taken.
void look_at_name(const Examination& examination) {
  const Subject& subject = examination.subject;
  const auto session = subject.store->find_session(subject.here);
  if (subject.session.empty() || !session || *session == subject.session) return;
  examination.report.fault("node name", "another agent runs as node " + subject.here,
                           "only this agent",
                           "stop the other agent, or give its machine another node_name");
}

// Read from the store, so that it is told of whether or not an agent runs.
void look_at_turn(store::TypedStore& store, Report& report) {
  const auto turned = store.find_rolled_back();
  if (!turned) return;
  const auto& [node, at, what, unknown] = turned->value;
  report.fault(
      "store's age", fmt::format("{} saw at {}: {}", node, time_to_text(at), what),
      "the same store as before",
      "until the store is repaired, no volume's current set is changed: if a backup of etcd was "
      "restored, see `plexvol store repair` on a node whose agent runs");
}

void look_at_store_itself(const Examination& examination) {
  const Subject& subject = examination.subject;
  Report& report = examination.report;
  constexpr const char* kWhat = "store";
  if (!subject.refusal.empty()) {
    return report.fault(kWhat, subject.refusal, "this agent may use it",
                        "until then the agent leaves all of this node's volumes unchanged");
  }
  if (!subject.decisions.empty()) {
    report.ok("arbiter", subject.decisions, "for information: since the agent's start");
  }
  if (subject.store_kind == "embedded") {
    if (subject.store != nullptr) look_at_turn(*subject.store, report);
    return report.ok(kWhat, "embedded: this node only", "embedded, or etcd for a cluster");
  }
  look_at_endpoints(examination);
  const std::string wanted = "etcd answers and accepts writes";
  const std::string advice =
      "most of etcd's members must run and reach each other (etcdctl endpoint health), none "
      "may be out of space (etcdctl alarm list; compact, defrag, alarm disarm), and "
      "certificates, user and password must be those of this cluster. Mounted volumes keep "
      "working meanwhile";
  for (const std::string& problem : subject.store_problems) {
    report.fault(kWhat, problem, wanted,
                 "create the file, readable for root, or fix `store` in the configuration");
  }
  if (!subject.store_silence.empty()) report.fault(kWhat, subject.store_silence, wanted, advice);
  if (subject.store == nullptr) return;
  try {
    const std::size_t nodes = subject.store->list_nodes().size();
    try_to_write(*subject.store);
    report.ok(kWhat, fmt::format("etcd answers and lists {} nodes", nodes), wanted);
    look_at_turn(*subject.store, report);
  } catch (const Error& error) {
    report.fault(kWhat, error.what(), wanted, advice);
  }
}

}  // namespace

void look_at_store(const Examination& examination) {
  look_at_store_itself(examination);
  if (examination.subject.store == nullptr || !examination.subject.refusal.empty()) return;
  try {
    look_at_records(examination);
    look_at_name(examination);
  } catch (const Error&) {
    // That the store does not answer is told of already.
  }
}

void look_at_network(const Examination& examination) {
  const Subject& subject = examination.subject;
  if (!is_mirroring(subject)) return;
  Report& report = examination.report;
  if (!subject.new_address.empty()) {
    report.warn(
        "address",
        fmt::format("{}, but the default route uses {}", subject.address, subject.new_address),
        "the same", "restart the agent to use the new address, or set `address`");
  } else if (is_ours(subject.address)) {
    report.ok("address", subject.address, "an address of this node");
  } else {
    report.fault("address", subject.address + " is not on any interface of this node",
                 "an address of this node",
                 "set `address` to this node's address in the replication network");
  }
  look_at_ports(examination);
  if (subject.store == nullptr) return;
  try {
    look_at_reach(examination);
  } catch (const Error&) {
    // The store has been told of already.
  }
}

}  // namespace plexvol::doctor
