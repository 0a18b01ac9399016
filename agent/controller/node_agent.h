// The agent of the node that this controller runs on: all that is known of volumes and nodes comes
// from it, and all that is done to a volume is asked of it.
//
// May be called from any thread; each call has a connection of its own. Errors: those of the agent,
// and Unavailable when it does not answer.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/api/protocol.h"

namespace plexvol::controller {

class NodeAgent {
 public:
  explicit NodeAgent(std::string socket) : socket_(std::move(socket)) {}

  // Waits until the copies are there. The volume that exists when it was asked for before.
  api::VolumeInfo create(const api::CreateVolumeRequest& request) const;
  std::vector<api::VolumeInfo> list_volumes() const;
  std::optional<api::VolumeInfo> find_volume(const std::string& name) const;
  // To at least this size; waits until it is done.
  api::VolumeInfo grow(const std::string& volume, std::uint64_t size_bytes) const;
  // Answers when it is recorded, and what keeps the nodes from it is told by the volume.
  void ask_size(const std::string& volume, const std::string& size) const;
  void set_copies(const std::string& volume, unsigned copies) const;
  // Answers when every node that is up has removed its part; no error when there is no such volume.
  api::DeleteVolumeReply remove(const std::string& name) const;
  std::vector<api::NodeInfo> list_nodes() const;
  // As `plexvol node` does: cordon, uncordon, drain.
  void change_node(const std::string& name, const std::string& action) const;
  // Takes a volume from a node that is down (volumes/fail_over.h). Throws Conflict unless it surely
  // is.
  void fail_over(const std::string& volume, const std::string& node) const;
  api::VersionReply version() const;
  // Returns when something has changed since `token`, and after some seconds at the latest; the
  // next token. The first one is "".
  std::string await_change(const std::string& token) const;

 private:
  std::string call(const char* path, const std::string& body,
                   std::chrono::milliseconds limit) const;

  std::string socket_;
};

}  // namespace plexvol::controller
