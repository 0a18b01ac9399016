#include <doctest/doctest.h>
#include <unistd.h>

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/files.h"
#include "agent/kube/client.h"
#include "tests/support/child_process.h"
#include "tests/support/etcd_process.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/kube/failures.h"

namespace plexvol::kube {

namespace {

constexpr const char* kOpenssl = "/usr/bin/openssl";

bool has_openssl() {
  if (::access(kOpenssl, X_OK) == 0) return true;
  std::cout << "skipped: there is no " << kOpenssl << " on this machine\n";
  return false;
}

// openssl's own server, with a certificate that vouches for itself.
class TlsServer {
 public:
  explicit TlsServer(const std::string& names = "IP:127.0.0.1")
      : address_("127.0.0.1:" + std::to_string(support::free_port())),
        process_((make(names),
                  std::vector<std::string>{kOpenssl, "s_server", "-accept", address_, "-WWW",
                                           "-cert", file("cert.pem"), "-key", file("key.pem")})) {
    REQUIRE(process_.read_until("ACCEPT"));
  }

  std::string url() const { return "https://" + address_; }
  std::string certificate() const { return base::read_file(file("cert.pem")).value(); }

 private:
  void make(const std::string& names) const {
    support::run_tool({kOpenssl, "req", "-x509", "-newkey", "ec", "-pkeyopt",
                       "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file("key.pem"), "-out",
                       file("cert.pem"), "-subj", "/CN=test", "-days", "2", "-addext",
                       "subjectAltName=" + names});
  }
  std::string file(const std::string& name) const { return directory_.path() / name; }

  support::TemporaryDirectory directory_;
  const std::string address_;
  support::ChildProcess process_;
};

// It has nothing below /api, and says so in its own words.
bool is_answered(const std::string& failure) {
  return !failure.starts_with("Unavailable");
}

}  // namespace

TEST_CASE(
    "tls: only a server that the authority vouches for is spoken to, by a file that may change") {
  if (!has_openssl()) return;
  const TlsServer server;
  const TlsServer other;
  const support::TemporaryDirectory directory;
  ClientSettings settings = settings_for(server.url());
  settings.ca_file = directory.path() / "ca.crt";
  Client client(settings);
  const auto ask = [&] { return failure_to_get(client, "/api"); };
  CHECK(ask() ==
        "Internal: cannot read CA file " + settings.ca_file + ": No such file or directory");
  REQUIRE(base::replace_file(settings.ca_file, other.certificate()));
  CHECK(ask().starts_with("Unavailable: GET /api: no answer from " + server.url() + ": SSL"));
  REQUIRE(base::replace_file(settings.ca_file, server.certificate()));
  CHECK(is_answered(ask()));
  REQUIRE(base::replace_file(settings.ca_file, other.certificate()));
  CHECK_FALSE(is_answered(ask()));
  REQUIRE(base::replace_file(settings.ca_file, "garbage"));
  CHECK_FALSE(is_answered(ask()));

  settings.ca_file = "";  // the system's own know neither
  Client by_system(settings);
  CHECK(failure_to_get(by_system, "/api").starts_with("Unavailable"));
}

TEST_CASE("tls: a certificate for another name is none") {
  if (!has_openssl()) return;
  const TlsServer server("DNS:localhost,IP:127.0.0.2");
  const support::TemporaryDirectory directory;
  ClientSettings settings = settings_for(server.url());
  settings.ca_file = directory.path() / "ca.crt";
  REQUIRE(base::replace_file(settings.ca_file, server.certificate()));
  Client client(settings);
  CHECK_FALSE(is_answered(failure_to_get(client, "/api")));
}

}  // namespace plexvol::kube
