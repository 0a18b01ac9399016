// etcd with certificates and passwords.
#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/store/etcd_store.h"
#include "tests/support/change_recorder.h"
#include "tests/support/child_process.h"
#include "tests/support/etcd_process.h"
#include "tests/support/store_calls.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::store {

namespace {

using std::chrono::seconds;
using support::ChangeRecorder;
using support::EtcdProcess;
using support::Failure;
using support::failure_of;
using support::patient;
using support::put;
using support::quick;

class Authority {
 public:
  Authority() {
    openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", file("ca.key"), "-out", ca_file(), "-subj", "/CN=test authority", "-days",
             "2"});
  }

  static bool is_available() {
    if (::access(kOpenssl, X_OK) == 0) return true;
    std::cout << "skipped: there is no " << kOpenssl << " on this machine\n";
    return false;
  }

  std::string ca_file() const { return file("ca.pem"); }

  support::TlsFiles issue(const std::string& name, const std::string& alternative_names) const {
    support::TlsFiles files{ca_file(), file(name + ".pem"), file(name + ".key")};
    openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", files.key_file, "-out", file(name + ".csr"), "-subj", "/CN=" + name,
             "-addext", "subjectAltName=" + alternative_names});
    openssl({"x509", "-req", "-in", file(name + ".csr"), "-CA", ca_file(), "-CAkey", file("ca.key"),
             "-CAcreateserial", "-days", "2", "-copy_extensions", "copy", "-out",
             files.certificate_file});
    return files;
  }

 private:
  static constexpr const char* kOpenssl = "/usr/bin/openssl";

  static void openssl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kOpenssl);
    support::run_tool(arguments);
  }

  std::string file(const std::string& name) const { return directory_.path() / name; }

  support::TemporaryDirectory directory_;
};

EtcdSettings with_files(EtcdSettings settings, const support::TlsFiles& files) {
  settings.ca_file = files.ca_file;
  settings.certificate_file = files.certificate_file;
  settings.key_file = files.key_file;
  return settings;
}

// One that asks for a password: root's is "secret", and the agent's, who may use /plexvol/ only, is
// "a:b c".
void enable_auth(const EtcdProcess& etcd) {
  etcd.control({"user", "add", "root:secret"});
  etcd.control({"user", "grant-role", "root", "root"});
  etcd.control({"user", "add", "agent", "--new-user-password=a:b c"});
  etcd.control({"role", "add", "agent"});
  etcd.control({"role", "grant-permission", "agent", "--prefix=true", "readwrite", "/plexvol/"});
  etcd.control({"user", "grant-role", "agent", "agent"});
  etcd.control({"auth", "enable"});
}

EtcdSettings as_agent(EtcdSettings settings) {
  settings.user = "agent";
  settings.password = "a:b c";
  return settings;
}

}  // namespace

TEST_CASE("etcd store: TLS with certificates on both sides") {
  if (!EtcdProcess::is_available() || !Authority::is_available()) return;
  const Authority authority;
  const EtcdProcess etcd(authority.issue("server", "IP:127.0.0.1"));
  EtcdStore store(with_files(etcd.settings(), authority.issue("client", "DNS:client")));
  CHECK(put(store, "a", "1"));
  CHECK(store.get("a")->value == "1");
  ChangeRecorder recorder;
  const auto watch = store.watch("", recorder.handler());
  CHECK(recorder.wait_for(""));
}

TEST_CASE("etcd store: TLS with a server that asks for no client certificate") {
  if (!EtcdProcess::is_available() || !Authority::is_available()) return;
  const Authority authority;
  support::TlsFiles server = authority.issue("server", "IP:127.0.0.1");
  server.ca_file.clear();
  const EtcdProcess etcd(server);
  EtcdStore store(with_files(etcd.settings(), {authority.ca_file(), "", ""}));
  CHECK(put(store, "a", "1"));
  // The system's authorities do not know this one.
  EtcdStore unbelieving(quick(etcd.settings()));
  CHECK(failure_of([&] { unbelieving.get("a"); }).code == ErrorCode::Unavailable);
}

TEST_CASE("etcd store: TLS with the wrong certificates reaches nothing, and says where") {
  if (!EtcdProcess::is_available() || !Authority::is_available()) return;
  const Authority authority;
  const Authority other;
  const EtcdProcess etcd(authority.issue("server", "IP:127.0.0.1"));
  const support::TlsFiles client = authority.issue("client", "DNS:client");
  EtcdSettings settings = quick(with_files(etcd.settings(), client));
  SUBCASE("a server of another authority is not believed") {
    settings.ca_file = other.ca_file();
  }
  SUBCASE("a server of another name is not believed") {
    settings.server_name = "etcd.test";
  }
  SUBCASE("a client without a certificate is not served") {
    settings.certificate_file.clear();
    settings.key_file.clear();
  }
  EtcdStore store(settings);
  const Failure failure = failure_of([&] { store.get("a"); });
  CHECK(failure.code == ErrorCode::Unavailable);
  CHECK_MESSAGE(failure.says(etcd.endpoint()), failure.text);
}

TEST_CASE(
    "etcd store: a server whose certificate does not name its address is found by server_name") {
  if (!EtcdProcess::is_available() || !Authority::is_available()) return;
  const Authority authority;
  EtcdProcess etcd(authority.issue("server", "DNS:etcd.test"));
  EtcdSettings settings = with_files(etcd.settings(), authority.issue("client", "DNS:client"));
  EtcdStore wrong(quick(settings));
  CHECK(failure_of([&] { wrong.get("a"); }).code == ErrorCode::Unavailable);
  settings.server_name = "etcd.test";
  EtcdStore store(settings);
  CHECK(put(store, "a", "1"));
}

TEST_CASE("etcd store: password login, and what is said when it is wrong") {
  if (!EtcdProcess::has_control()) return;
  EtcdProcess etcd;
  enable_auth(etcd);
  EtcdStore store(as_agent(etcd.settings()));
  CHECK(put(store, "a", "1"));
  CHECK(store.get("a")->value == "1");
  CHECK(store.list("").size() == 1);

  EtcdSettings settings = as_agent(etcd.settings());
  settings.password = "wrong-one";
  EtcdStore wrong_password(settings);
  const Failure password = failure_of([&] { wrong_password.get("a"); });
  CHECK(password.code == ErrorCode::Internal);
  CHECK_MESSAGE(password.says("log in as agent"), password.text);
  CHECK_FALSE(password.says("wrong-one"));

  EtcdStore no_user(etcd.settings());
  CHECK(failure_of([&] { put(no_user, "a", "2"); }).code == ErrorCode::Internal);

  settings = as_agent(etcd.settings());
  settings.key_prefix = "/elsewhere/";
  EtcdStore not_allowed(settings);
  const Failure permission = failure_of([&] { put(not_allowed, "a", "2"); });
  CHECK(permission.code == ErrorCode::Internal);
  CHECK_MESSAGE(permission.says("permission denied"), permission.text);
}

TEST_CASE("etcd store: it logs in again when etcd has forgotten the login or changed its users") {
  if (!EtcdProcess::has_control()) return;
  EtcdProcess etcd;
  enable_auth(etcd);
  EtcdStore store(patient(as_agent(etcd.settings())));
  ChangeRecorder recorder;
  const auto watch = store.watch("v/", recorder.handler());
  REQUIRE(recorder.wait_for("v/"));
  const auto presence = store.announce("alive/n1", "x", seconds(3), {});
  etcd.control({"--user=root:secret", "user", "add", "another:one"});
  CHECK(put(store, "v/1", "1"));
  CHECK(recorder.wait_for("v/1"));
  etcd.kill();
  etcd.start();
  CHECK(store.get("v/1")->value == "1");
  CHECK(put(store, "v/2", "1"));
  CHECK(recorder.wait_for("v/2"));
  CHECK(store.get("alive/n1"));
}

TEST_CASE("etcd store: a user is no harm to an etcd that asks for none") {
  if (!EtcdProcess::has_control()) return;
  EtcdProcess etcd;
  EtcdStore store(as_agent(etcd.settings()));
  CHECK(put(store, "a", "1"));
  enable_auth(etcd);
  CHECK(put(store, "a", "2"));
  CHECK(store.get("a")->value == "2");
}

}  // namespace plexvol::store
