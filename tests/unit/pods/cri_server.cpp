#include "tests/unit/pods/cri_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <mutex>
#include <stdexcept>
#include <utility>

#include "agent/pods/cri.grpc.pb.h"

namespace plexvol::support {

namespace {

constexpr const char* kUidLabel = "io.kubernetes.pod.uid";

grpc::ByteBuffer to_buffer(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

std::string wanted_uid(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  cri::ListPodSandboxRequest request;
  if (!buffer.TrySingleSlice(&slice).ok() ||
      !request.ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return "";
  }
  const auto& labels = request.filter().label_selector();
  const auto label = labels.find(kUidLabel);
  return label == labels.end() ? "" : label->second;
}

grpc::ByteBuffer answer(const CriScript& script, const std::string& uid) {
  cri::ListPodSandboxResponse response;
  for (const CriSandbox& sandbox : script.sandboxes) {
    if (script.filters && sandbox.uid != uid) continue;
    auto* item = response.add_items();
    item->set_id("1234");
    item->mutable_metadata()->set_name(sandbox.name);
    item->mutable_metadata()->set_namespace_(sandbox.name_space);
    item->mutable_metadata()->set_uid(sandbox.uid);
    item->set_state(sandbox.ready ? cri::SANDBOX_READY : cri::SANDBOX_NOTREADY);
    (*item->mutable_labels())[kUidLabel] = sandbox.uid;
  }
  return to_buffer(response);
}

// One call; deletes itself at its end.
class Reactor : public grpc::ServerGenericBidiReactor {
 public:
  Reactor(const CriScript& script, bool is_known) : script_(script) {
    if (is_known) {
      StartRead(&request_);
    } else {
      Finish({grpc::StatusCode::UNIMPLEMENTED, "unknown service"});
    }
  }

  void OnReadDone(bool) override {
    if (script_.is_silent) return;  // until the caller gives up
    response_ = answer(script_, wanted_uid(request_));
    StartWriteAndFinish(&response_, {}, grpc::Status::OK);
  }
  void OnCancel() override {
    if (script_.is_silent) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  const CriScript& script_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

}  // namespace

class CriServer::Running : public grpc::CallbackGenericService {
 public:
  Running(const std::string& socket, CriScript script) : script_(std::move(script)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
    if (!server_) throw std::runtime_error("cannot listen on " + socket);
  }

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* call) override {
    {
      const std::lock_guard lock(mutex_);
      methods_.push_back(call->method());
    }
    return new Reactor(script_, call->method() == "/" + script_.service + "/ListPodSandbox");
  }

  std::vector<std::string> methods() {
    const std::lock_guard lock(mutex_);
    return methods_;
  }
  void stop() { server_->Shutdown(std::chrono::system_clock::now()); }

 private:
  CriScript script_;
  std::mutex mutex_;
  std::vector<std::string> methods_;
  std::unique_ptr<grpc::Server> server_;
};

CriServer::CriServer(const std::string& socket, CriScript script)
    : running_(std::make_unique<Running>(socket, std::move(script))) {}

CriServer::~CriServer() {
  running_->stop();
}

std::vector<std::string> CriServer::methods() const {
  return running_->methods();
}

}  // namespace plexvol::support
