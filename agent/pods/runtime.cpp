// GCC 12 sees null pointers in gRPC's own templates once they are optimised.
#pragma GCC diagnostic ignored "-Wnull-dereference"

#include "agent/pods/runtime.h"

#include <fmt/core.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/base/text.h"
#include "agent/pods/cri.grpc.pb.h"
#include "agent/process/proc.h"

namespace plexvol::pods {

namespace {

constexpr std::chrono::seconds kTimeout{2};
constexpr int kMaxAnswerBytes = 4 << 20;
constexpr const char* kUidLabel = "io.kubernetes.pod.uid";
// The newest first. The oldest one, of Kubernetes 1.7 to 1.9, has no version in its name.
constexpr std::array kServices = {"runtime.v1.RuntimeService", "runtime.v1alpha2.RuntimeService",
                                  "runtime.RuntimeService"};

[[noreturn]] void throw_silent(const std::string& socket, const std::string& why) {
  throw Error(ErrorCode::Unavailable,
              fmt::format("the container runtime does not answer: {}: {}", socket, why));
}

// Kubernetes' names; anything else could be meant for the terminal that it is printed on.
bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

// False: there is no such socket.
bool exists(const std::string& socket, const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  throw_silent(socket, base::error_text(errno));
}

// gRPC would tell the same in many more words.
void require_listener(const std::string& socket, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw_silent(socket, "its path is too long");
  std::copy(path.begin(), path.end(), address.sun_path);
  const base::Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.is_open() ||
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw_silent(socket, base::error_text(errno));
  }
}

std::shared_ptr<grpc::Channel> connect_to(const std::string& path) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  // Nothing is remembered of a connection that failed before.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), arguments);
}

grpc::Status call(const std::shared_ptr<grpc::Channel>& channel, const std::string& service,
                  const cri::ListPodSandboxRequest& request,
                  cri::ListPodSandboxResponse& response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTimeout);
  grpc::TemplatedGenericStub<cri::ListPodSandboxRequest, cri::ListPodSandboxResponse> stub(channel);
  grpc::CompletionQueue queue;
  const auto reader =
      stub.PrepareUnaryCall(&context, "/" + service + "/ListPodSandbox", request, &queue);
  grpc::Status status;
  reader->StartCall();
  reader->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool is_done = false;
  queue.Next(&tag, &is_done);  // at the deadline at the latest
  queue.Shutdown();
  while (queue.Next(&tag, &is_done)) {
  }
  return status;
}

// nullopt: what listens there is no container runtime of Kubernetes' (Docker's own containerd).
std::optional<cri::ListPodSandboxResponse> ask(const std::string& socket, const std::string& path,
                                               const std::string& uid) {
  cri::ListPodSandboxRequest request;
  (*request.mutable_filter()->mutable_label_selector())[kUidLabel] = uid;
  const auto channel = connect_to(path);
  for (const char* service : kServices) {
    cri::ListPodSandboxResponse response;
    const grpc::Status status = call(channel, service, request, response);
    if (status.ok()) return response;
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) continue;
    const bool is_late = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
    throw_silent(socket, is_late ? "no answer within 2 s" : status.error_message());
  }
  return std::nullopt;
}

// A runtime that does not know the filter answers all that it has.
bool is_of_pod(const cri::PodSandbox& sandbox, const std::string& uid) {
  const auto label = sandbox.labels().find(kUidLabel);
  return sandbox.metadata().uid() == uid ||
         (label != sandbox.labels().end() && label->second == uid);
}

std::string name_of(const cri::PodSandboxMetadata& metadata) {
  if (!is_name(metadata.name()) || !is_name(metadata.namespace_())) return "";
  return metadata.namespace_() + "/" + metadata.name();
}

}  // namespace

std::string find_in_host(const std::string& host_root, const std::string& path) {
  constexpr int kMostLinks = 40;
  std::string done;  // of the path, as the host knows it
  std::string rest = path;
  int links = 0;
  while (!rest.empty()) {
    const std::size_t begin = rest.find_first_not_of('/');
    if (begin == std::string::npos) break;
    const std::size_t end = std::min(rest.find('/', begin), rest.size());
    const std::string name = rest.substr(begin, end - begin);
    rest.erase(0, end);
    if (name == ".") continue;
    if (name == "..") {
      done.erase(std::min(done.rfind('/'), done.size()));
      continue;
    }
    std::string next = done;
    next.append("/").append(name);
    const std::string target = process::read_link(host_root + next);
    if (target.empty() || ++links > kMostLinks) {
      done = next;
      continue;
    }
    if (target.starts_with('/')) done.clear();
    rest.insert(0, target);
  }
  return host_root + done;
}

std::vector<Sandbox> list_sandboxes(const Settings& settings, const std::string& uid) {
  std::vector<Sandbox> sandboxes;
  bool is_answered = false;
  for (const std::string& socket : settings.runtime_sockets) {
    const std::string path = find_in_host(settings.host_root, socket);
    if (!exists(socket, path)) continue;
    require_listener(socket, path);
    const auto response = ask(socket, path, uid);
    if (!response) continue;
    is_answered = true;
    for (const cri::PodSandbox& sandbox : response->items()) {
      if (!is_of_pod(sandbox, uid)) continue;
      sandboxes.push_back(
          {.name = name_of(sandbox.metadata()), .ready = sandbox.state() == cri::SANDBOX_READY});
    }
  }
  if (is_answered) return sandboxes;
  throw Error(ErrorCode::Unavailable,
              fmt::format("no container runtime was found: none of {} answers CRI calls",
                          base::join(settings.runtime_sockets)));
}

}  // namespace plexvol::pods
