// From settings to connections: addresses and TLS.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace grpc {
class Channel;
}

namespace plexvol::store {

struct EtcdSettings;

struct EtcdEndpoint {
  std::string name;  // "https://10.0.0.1:2379", for messages
  std::shared_ptr<grpc::Channel> channel;
};

// Connects when used. Throws Error(InvalidArgument).
std::vector<EtcdEndpoint> make_endpoints(const EtcdSettings& settings);

}  // namespace plexvol::store
