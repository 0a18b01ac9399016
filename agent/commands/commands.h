// The door of `plexvol`, the command for people.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/api/repair.h"
#include "agent/volumes/await.h"
#include "agent/volumes/use_cases.h"

namespace plexvol::commands {

class Commands {
 public:
  // `give_name_up`: this node's name moves to the machine that asks for it, for an agent that is
  // refused.
  Commands(volumes::UseCases& use_cases, std::function<void()> give_name_up)
      : use_cases_(use_cases), give_name_up_(std::move(give_name_up)) {}

  // Returns when the copies are there, and have found each other.
  api::VolumeInfo create_volume(const api::CreateVolumeRequest& request, const volumes::Call& call);
  std::vector<api::VolumeInfo> list_volumes();
  api::VolumeInfo show_volume(const std::string& name);
  api::VolumeInfo set_volume(const api::SetVolumeRequest& request);
  api::VolumeInfo move_volume(const api::MoveVolumeRequest& request);
  // Returns when the copy is as large, and the file system where it is mounted.
  api::VolumeInfo resize_volume(const api::ResizeVolumeRequest& request, const volumes::Call& call);
  api::DeleteVolumeReply delete_volume(const std::string& name, const volumes::Call& call);
  void fail_over(const api::FailOverRequest& request);
  api::VolumeInfo force_current(const api::ForceCurrentRequest& request);
  std::vector<api::NodeInfo> list_nodes();
  api::NodeChangeReply change_node(const api::NodeChange& request);
  api::RepairReply repair(const api::RepairRequest& request);
  // Returns when the token is not the latest one (any more), or the call's time is over.
  api::ChangesReply await_change(const api::ChangesRequest& request, const volumes::Call& call);
  api::VersionReply version();

 private:
  volumes::UseCases& use_cases_;
  std::function<void()> give_name_up_;
};

}  // namespace plexvol::commands
