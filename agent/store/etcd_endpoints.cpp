#include "agent/store/etcd_endpoints.h"

#include <fmt/core.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <string_view>

#include "agent/api/error.h"
#include "agent/base/files.h"
#include "agent/store/etcd_store.h"

namespace plexvol::store {

namespace {

constexpr std::string_view kPlain = "http://";
constexpr std::string_view kSecure = "https://";
constexpr unsigned kCertificateRefreshSeconds = 60;

struct Address {
  bool secure = false;
  std::string host_and_port;
};

[[noreturn]] void refuse_settings(const std::string& why) {
  throw Error(ErrorCode::InvalidArgument, "etcd settings: " + why);
}

bool wants_tls(const EtcdSettings& settings) {
  return !settings.ca_file.empty() || !settings.certificate_file.empty();
}

Address parse_address(const EtcdSettings& settings, const std::string& endpoint) {
  std::string_view rest = endpoint;
  Address address{.secure = wants_tls(settings), .host_and_port = {}};
  if (rest.starts_with(kPlain)) {
    if (address.secure)
      refuse_settings(fmt::format("endpoint {} is not https, but TLS files are given", endpoint));
    rest.remove_prefix(kPlain.size());
  } else if (rest.starts_with(kSecure)) {
    address.secure = true;
    rest.remove_prefix(kSecure.size());
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const bool is_clean = std::ranges::all_of(rest, [](unsigned char byte) {
    return std::isalnum(byte) != 0 ||
           std::string_view("-._:[]%").find(static_cast<char>(byte)) != std::string_view::npos;
  });
  if (rest.empty() || !is_clean)
    refuse_settings(
        fmt::format("'{}' is not a valid endpoint (example: https://10.0.0.1:2379)", endpoint));
  const std::size_t after_host = rest.starts_with('[') ? rest.find(']') : 0;
  const bool has_port = rest.find(':', after_host) != std::string_view::npos;
  address.host_and_port = std::string(rest) + (has_port ? "" : ":2379");
  return address;
}

void check_readable(const std::string& what, const std::string& path) {
  if (path.empty()) return;
  const std::ifstream file(path);
  if (!file)
    refuse_settings(fmt::format("cannot read the {} {}: {}", what, path, base::error_text(errno)));
}

std::shared_ptr<grpc::ChannelCredentials> make_tls_credentials(const EtcdSettings& settings) {
  if (settings.certificate_file.empty() != settings.key_file.empty()) {
    refuse_settings("set both the client certificate and its key, or neither");
  }
  check_readable("certificate authority", settings.ca_file);
  check_readable("client certificate", settings.certificate_file);
  check_readable("client key", settings.key_file);
  grpc::experimental::TlsChannelCredentialsOptions options;
  if (wants_tls(settings)) {
    options.set_certificate_provider(
        std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
            settings.key_file, settings.certificate_file, settings.ca_file,
            kCertificateRefreshSeconds));
    if (!settings.ca_file.empty()) options.watch_root_certs();
    if (!settings.certificate_file.empty()) options.watch_identity_key_cert_pairs();
  }
  return grpc::experimental::TlsCredentials(options);
}

grpc::ChannelArguments make_arguments(const EtcdSettings& settings) {
  grpc::ChannelArguments arguments;
  // A peer that is gone without a word (power, network) is noticed within 15 s also on a silent
  // watch. etcd itself ends a connection that is pinged more often than every 5 s.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2'000);  // also how long one connect may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 3'000);
  // A proxy from the environment is meant for the internet, and would be asked for a cluster's own
  // address.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  if (!settings.server_name.empty()) arguments.SetSslTargetNameOverride(settings.server_name);
  return arguments;
}

}  // namespace

std::vector<EtcdEndpoint> make_endpoints(const EtcdSettings& settings) {
  if (settings.endpoints.empty()) refuse_settings("no endpoint is given");
  const grpc::ChannelArguments arguments = make_arguments(settings);
  std::shared_ptr<grpc::ChannelCredentials> tls;
  std::vector<EtcdEndpoint> endpoints;
  for (const std::string& text : settings.endpoints) {
    const Address address = parse_address(settings, text);
    if (address.secure && !tls) tls = make_tls_credentials(settings);
    endpoints.push_back(
        {std::string(address.secure ? kSecure : kPlain) + address.host_and_port,
         // The scheme keeps a strange host name from being read as another kind of address.
         grpc::CreateCustomChannel("dns:///" + address.host_and_port,
                                   address.secure ? tls : grpc::InsecureChannelCredentials(),
                                   arguments)});
  }
  return endpoints;
}

}  // namespace plexvol::store
