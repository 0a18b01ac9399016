// What can be set, by the file and by flags: every key and every default stands here.
//
// The file is JSON with the keys of the structs below: {"node_name": "n1", "store": {"kind":
// "etcd", ...}}. Each key is a flag too, `store.kind` is --store-kind; flags win. A key that is not
// known is an error, so a misspelt one is never silently its default. Secrets are never here, only
// the names of the files that hold them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/reconcile/pools.h"

namespace plexvol {

inline constexpr const char* kDefaultConfigFile = "/etc/plexvol/plexvold.json";

struct StoreConfig {
  std::string kind = "embedded";       // or "etcd"
  std::string directory;               // embedded: default <state_directory>/store
  std::vector<std::string> endpoints;  // etcd: http://host:port or https://host:port
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::string user;
  std::string password_file;
  std::string prefix = "/plexvol/";
  unsigned lease_seconds = 8;  // after so long without a word from it, a node counts as gone
};

inline constexpr unsigned kMostResyncRateMib = 4096;  // of DRBD's c-max-rate

struct DrbdConfig {
  std::string config_directory;  // default <state_directory>/drbd.d
  // The installed driver: the kernel runs it when a primary has lost its peer. The kernel takes
  // fewer than 80 characters.
  std::string helper =
      "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/plexvol~plexvol/plexvol";
  unsigned first_port = 7000;  // a volume uses first_port + its slot, on every node
  unsigned max_resyncs = 2;    // at a time, on this node
  // A resync of less neither waits nor keeps others waiting; 0: each counts.
  unsigned short_resync_mib = 1024;
  // MiB/s, at most, of one resync; 0 in the file: what the link takes, see link_speed.h.
  unsigned resync_rate_mib = 0;
  unsigned newest = 8;  // 9 only to try it: see drbd/generation.h
  // How long to wait for a live peer to connect before promoting without it.
  unsigned connect_seconds = 15;
};

struct Config {
  std::string node_name;  // as Kubernetes calls this node; default: the host name in lower case
  // For DRBD. Default: the source address of the default route; "" while there is none.
  std::string address;
  bool address_is_set = false;  // not found by itself
  std::vector<reconcile::PoolSettings> pools;
  std::vector<std::string> sockets = {api::kDefaultSocket};
  // Of the node's container runtimes, in the host's mount namespace: whether a pod is gone is asked
  // there. One that does not exist is passed over, each other one must answer.
  std::vector<std::string> runtime_sockets = {
      "/run/containerd/containerd.sock", "/run/crio/crio.sock", "/var/run/dockershim.sock",
      "/run/cri-dockerd.sock", "/run/k3s/containerd/containerd.sock"};
  StoreConfig store;
  DrbdConfig drbd;
  std::string state_directory = "/var/lib/plexvol";
  std::string device_directory = "/dev/plexvol";
  unsigned rebuild_seconds = 600;  // after so long its copies are made anew on other nodes
  // A pod's mount is taken down after the pod's sandbox has been gone this long.
  unsigned ended_pod_seconds = 300;
  unsigned workers = 4;            // volumes that are looked after at the same time
  unsigned max_connections = 256;  // calls that are served at the same time
  std::string log_level = "info";  // trace, debug, info, warning, error
};

// A command line is either a configuration to run with, or a question that `answer` answers
// (--help, --version, --check-config).
struct CommandLine {
  Config config = {};
  bool put_helper_back = false;
  bool doctor = false;
  std::string answer = {};
};

// `arguments` without the program's name. Everything is checked and every default is filled in.
// Throws InvalidArgument: one line with the file or the flag, the key, and what is wrong with it.
CommandLine read_command_line(const std::vector<std::string>& arguments);

// The files that it names and that cannot be read, one line each: "store.ca_file: PATH: why". They
// may come later, so a configuration is right without them; but nothing starts.
std::vector<std::string> unreadable_files(const Config& config);

// The effective configuration, in the file's own form.
std::string to_json(const Config& config);

}  // namespace plexvol
