// A real etcd of one member, on free ports of the loopback and a directory of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/store/etcd_store.h"
#include "tests/support/child_process.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::support {

struct TlsFiles {
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
};

class EtcdProcess {
 public:
  // False, with the reason printed, when this machine has no etcd.
  static bool is_available();
  // And etcdctl beside it.
  static bool has_control();

  // `tls`: of the server; with an authority it asks for client certificates of that one.
  explicit EtcdProcess(std::optional<TlsFiles> tls = std::nullopt);
  ~EtcdProcess();
  EtcdProcess(const EtcdProcess&) = delete;
  EtcdProcess& operator=(const EtcdProcess&) = delete;

  std::string endpoint() const { return endpoint(client_port_); }
  store::EtcdSettings settings() const;

  void kill();
  // After kill(): the same data again, ready to serve when it returns.
  void start();
  // As start(), but where only those who are told find it; the next start() is at the old place
  // again.
  void start_elsewhere();
  // As start(), but it has lost everything and is another cluster.
  void start_empty();
  // As start(), but its data may take only so much space.
  void start_small(std::uint64_t bytes);
  void pause();
  void resume();

  // etcdctl with these arguments; its output.
  std::string control(const std::vector<std::string>& arguments) const;

 private:
  std::string endpoint(int port) const;
  void run(int port, const std::vector<std::string>& more = {});

  TemporaryDirectory directory_;
  std::optional<TlsFiles> tls_;
  int home_port_;
  int client_port_;
  int peer_port_;
  int cluster_ = 1;
  std::optional<ChildProcess> process_;
  std::thread reader_;  // so that etcd is not held up by a full pipe
};

// One for all tests that only need some etcd; they differ by their key prefix.
EtcdProcess& shared_etcd();

int free_port();

}  // namespace plexvol::support
