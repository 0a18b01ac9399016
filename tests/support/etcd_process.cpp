#include "tests/support/etcd_process.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <stdexcept>
#include <utility>

namespace plexvol::support {

namespace {

constexpr const char* kEtcd = "/usr/bin/etcd";
constexpr const char* kControl = "/usr/bin/etcdctl";

bool is_executable(const char* path) {
  if (::access(path, X_OK) == 0) return true;
  std::cout << "skipped: there is no " << path << " on this machine\n";
  return false;
}

}  // namespace

int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool found =
      ::bind(socket, generic, length) == 0 && ::getsockname(socket, generic, &length) == 0;
  ::close(socket);
  if (!found) throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

bool EtcdProcess::is_available() {
  return is_executable(kEtcd);
}

bool EtcdProcess::has_control() {
  return is_available() && is_executable(kControl);
}

EtcdProcess::EtcdProcess(std::optional<TlsFiles> tls)
    : tls_(std::move(tls)),
      home_port_(free_port()),
      client_port_(home_port_),
      peer_port_(free_port()) {
  start();
}

EtcdProcess::~EtcdProcess() {
  kill();
}

std::string EtcdProcess::endpoint(int port) const {
  return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port);
}

store::EtcdSettings EtcdProcess::settings() const {
  store::EtcdSettings settings;
  settings.endpoints = {endpoint()};
  return settings;
}

void EtcdProcess::start() {
  run(home_port_);
}

void EtcdProcess::start_elsewhere() {
  run(free_port());
}

void EtcdProcess::start_empty() {
  std::filesystem::remove_all(directory_.path() / "data");
  ++cluster_;
  run(home_port_);
}

void EtcdProcess::start_small(std::uint64_t bytes) {
  run(home_port_, {"--quota-backend-bytes", std::to_string(bytes)});
}

void EtcdProcess::run(int port, const std::vector<std::string>& more) {
  client_port_ = port;
  const std::string peer = "http://127.0.0.1:" + std::to_string(peer_port_);
  std::vector<std::string> argv = {
      kEtcd, "--name", "test", "--data-dir", directory_.path() / "data", "--listen-client-urls",
      endpoint(), "--advertise-client-urls", endpoint(), "--listen-peer-urls", peer,
      "--initial-advertise-peer-urls", peer, "--initial-cluster", "test=" + peer,
      "--initial-cluster-token", std::to_string(cluster_),
      // A member alone need not wait long for others to stand for election.
      "--heartbeat-interval", "20", "--election-timeout", "200"};
  const auto add = [&argv](const std::string& option, const std::string& file) {
    argv.push_back(option);
    argv.push_back(file);
  };
  if (tls_) {
    add("--cert-file", tls_->certificate_file);
    add("--key-file", tls_->key_file);
  }
  if (tls_ && !tls_->ca_file.empty()) {
    add("--trusted-ca-file", tls_->ca_file);
    argv.emplace_back("--client-cert-auth");
  }
  argv.insert(argv.end(), more.begin(), more.end());
  process_.emplace(argv);
  if (!process_->read_until("ready to serve client requests")) {
    throw std::runtime_error("etcd did not start: " + process_->output());
  }
  reader_ = std::thread([this] { process_->read_to_end(); });
}

void EtcdProcess::kill() {
  if (!process_) return;
  process_->kill();
  reader_.join();
  process_.reset();
}

void EtcdProcess::pause() {
  process_->stop();
}

void EtcdProcess::resume() {
  process_->signal(SIGCONT);
}

std::string EtcdProcess::control(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv = {kControl, "--endpoints", endpoint()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run_tool(argv, {"ETCDCTL_API=3"});
}

EtcdProcess& shared_etcd() {
  static EtcdProcess etcd;
  return etcd;
}

}  // namespace plexvol::support
