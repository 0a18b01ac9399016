// How one call to etcd is made: which endpoint, how long, with which token, and what its failure
// means. Private to the etcd_* files, and the one header that names gRPC.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/store/etcd_client.h"
#include "agent/store/etcd_endpoints.h"

namespace plexvol::store {

struct EtcdCall {
  std::string what;  // "read volumes/v1", for messages
  Cancellation& cancellation;
  std::chrono::milliseconds timeout;
  // A call that changes something in a way that must not happen twice is sent once.
  bool repeatable = true;
};

class EtcdCaller {
 public:
  using Clock = std::chrono::steady_clock;
  using Channel = std::shared_ptr<grpc::Channel>;
  using Invoke = std::function<grpc::Status(const Channel&, grpc::ClientContext&)>;

  explicit EtcdCaller(const EtcdSettings& settings);

  // Returns when `invoke` has succeeded; throws Error(Unavailable) or Error(Internal).
  void call(const EtcdCall& call, const Invoke& invoke);

  // For streams without end: prepares the context (no deadline) and returns an endpoint that has
  // just been seen alive.
  const EtcdEndpoint& prepare_stream(const EtcdCall& call, grpc::ClientContext& context);

  // After an answer that can mean that the token is not good any more: the next call logs in anew.
  void forget_token();
  // The next call begins with another endpoint, when there is one.
  void avoid(const EtcdEndpoint& endpoint);

 private:
  struct Outcome {
    grpc::Status status;
    std::string endpoint;
  };
  Outcome attempt(const EtcdCall& call, Clock::time_point deadline, const std::string& token,
                  const Invoke& invoke);
  const EtcdEndpoint& find_alive(const EtcdCall& call, Clock::time_point deadline);
  std::string token(const EtcdCall& call, Clock::time_point deadline);
  bool is_token_problem(const grpc::Status& status) const;
  void forget_token_unless_renewed(const std::string& used);
  const EtcdEndpoint& current();

  const std::vector<EtcdEndpoint> endpoints_;
  const std::string user_;
  const std::string password_;
  std::mutex current_mutex_;
  std::size_t current_ = 0;
  std::timed_mutex token_mutex_;
  std::optional<std::string> token_;  // empty: this etcd does not ask for one
};

}  // namespace plexvol::store
