#include "agent/controller/node_agent.h"

#include "agent/api/names.h"
#include "agent/base/deadline.h"
#include "agent/client/agent_client.h"

namespace plexvol::controller {

namespace {

using std::chrono::milliseconds;

// What an agent answers from the store.
constexpr milliseconds kRead(15'000);
// A copy that is made, or removed: with thick pools and many at once that takes a while. What is not
// done by then is asked for again.
constexpr milliseconds kWork(90'000);
constexpr milliseconds kWait(5'000);

}  // namespace

std::string NodeAgent::call(const char* path, const std::string& body, milliseconds limit) const {
  client::AgentClient agent({socket_});
  return agent.call(path, body,
                    {.deadline = base::Clock::now() + limit, .retry = client::Retry::Never});
}

api::VolumeInfo NodeAgent::create(const api::CreateVolumeRequest& request) const {
  return api::from_json<api::VolumeInfo>(
      call(api::kVolumeCreatePath, api::to_json(request), kWork));
}

std::vector<api::VolumeInfo> NodeAgent::list_volumes() const {
  return api::from_json<std::vector<api::VolumeInfo>>(call(api::kVolumeListPath, "{}", kRead));
}

std::optional<api::VolumeInfo> NodeAgent::find_volume(const std::string& name) const {
  try {
    return api::from_json<api::VolumeInfo>(
        call(api::kVolumeShowPath, api::to_json(api::VolumeNameRequest{.name = name}), kRead));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::NotFound) return std::nullopt;
    throw;
  }
}

api::VolumeInfo NodeAgent::grow(const std::string& volume, std::uint64_t size_bytes) const {
  const api::ResizeVolumeRequest request{
      .name = volume, .size = std::to_string(size_bytes), .at_least = true};
  return api::from_json<api::VolumeInfo>(
      call(api::kVolumeResizePath, api::to_json(request), kWork));
}

void NodeAgent::ask_size(const std::string& volume, const std::string& size) const {
  const api::ResizeVolumeRequest request{.name = volume, .size = size, .at_least = false};
  try {
    call(api::kVolumeResizePath, api::to_json(request), kRead);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Unavailable) throw;
    const auto now = find_volume(volume);
    if (!now || now->size_bytes != parse_size_bytes(size)) throw;
  }
}

void NodeAgent::set_copies(const std::string& volume, unsigned copies) const {
  call(api::kVolumeSetPath, api::to_json(api::SetVolumeRequest{.name = volume, .copies = copies}),
       kRead);
}

api::DeleteVolumeReply NodeAgent::remove(const std::string& name) const {
  try {
    return api::from_json<api::DeleteVolumeReply>(
        call(api::kVolumeDeletePath, api::to_json(api::VolumeNameRequest{.name = name}), kWork));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::NotFound) return {};  // it is gone since
    throw;
  }
}

std::vector<api::NodeInfo> NodeAgent::list_nodes() const {
  return api::from_json<std::vector<api::NodeInfo>>(call(api::kNodeListPath, "{}", kRead));
}

void NodeAgent::change_node(const std::string& name, const std::string& action) const {
  call(api::kNodeChangePath, api::to_json(api::NodeChange{.name = name, .action = action}), kRead);
}

void NodeAgent::fail_over(const std::string& volume, const std::string& node) const {
  call(api::kFailOverPath, api::to_json(api::FailOverRequest{.name = volume, .node = node}), kRead);
}

api::VersionReply NodeAgent::version() const {
  return api::from_json<api::VersionReply>(call(api::kVersionPath, "{}", milliseconds(3'000)));
}

std::string NodeAgent::await_change(const std::string& token) const {
  return api::from_json<api::ChangesReply>(
             call(api::kChangesPath, api::to_json(api::ChangesRequest{.since = token}), kWait))
      .token;
}

}  // namespace plexvol::controller
