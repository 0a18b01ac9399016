#include "agent/commands/commands.h"

#include "agent/api/names.h"
#include "agent/cluster/nodes.h"
#include "agent/cluster/repair.h"
#include "agent/volumes/copies.h"
#include "agent/volumes/describe.h"
#include "agent/volumes/fail_over.h"
#include "agent/volumes/force_current.h"
#include "agent/volumes/resize.h"
#include "agent/volumes/tenants.h"

namespace plexvol::commands {

using volumes::Call;

api::VolumeInfo Commands::create_volume(const api::CreateVolumeRequest& request, const Call& call) {
  return use_cases_.creation.create_and_await({.name = request.name,
                                               .size_bytes = parse_size_bytes(request.size),
                                               .replicas = request.replicas,
                                               .nodes = request.nodes,
                                               .pool = request.pool,
                                               .fs_type = request.fs_type,
                                               .mkfs_options = request.mkfs_options,
                                               .asking = "",
                                               .tenant = request.tenant,
                                               .first_node = request.first_node},
                                              call);
}

std::vector<api::VolumeInfo> Commands::list_volumes() {
  return volumes::list_volumes(use_cases_.store);
}

api::VolumeInfo Commands::show_volume(const std::string& name) {
  return volumes::show_volume(use_cases_.store, name);
}

api::VolumeInfo Commands::set_volume(const api::SetVolumeRequest& request) {
  if (request.tenant.empty() && request.copies == 0) {
    throw Error(ErrorCode::InvalidArgument,
                "nothing to set: give a namespace, or the number of copies");
  }
  if (!request.tenant.empty()) {
    volumes::set_tenant(use_cases_.store, request.name, request.tenant);
  }
  if (request.copies != 0) {
    volumes::set_copies(use_cases_.store, request.name,
                        {.number = request.copies, .keep = request.keep});
  }
  return show_volume(request.name);
}

api::VolumeInfo Commands::move_volume(const api::MoveVolumeRequest& request) {
  volumes::move_copy(use_cases_.store, request.name, {.from = request.from, .to = request.to});
  return show_volume(request.name);
}

api::VolumeInfo Commands::resize_volume(const api::ResizeVolumeRequest& request, const Call& call) {
  return volumes::resize_and_await(
      use_cases_.store, use_cases_.turns, request.name,
      {.bytes = parse_size_bytes(request.size), .at_least = request.at_least}, call);
}

api::DeleteVolumeReply Commands::delete_volume(const std::string& name, const Call& call) {
  return {.waiting_for = use_cases_.deletion.remove(name, call)};
}

void Commands::fail_over(const api::FailOverRequest& request) {
  volumes::fail_over(use_cases_.store, use_cases_.arbiter, use_cases_.releases, request.name,
                     request.node);
}

api::VolumeInfo Commands::force_current(const api::ForceCurrentRequest& request) {
  volumes::force_current(use_cases_.store, use_cases_.arbiter, use_cases_.settings.here, request);
  return show_volume(request.name);
}

std::vector<api::NodeInfo> Commands::list_nodes() {
  return cluster::list_nodes(use_cases_.store);
}

api::NodeChangeReply Commands::change_node(const api::NodeChange& request) {
  return cluster::change_node(use_cases_.store, request, use_cases_.settings.here, give_name_up_);
}

api::RepairReply Commands::repair(const api::RepairRequest& request) {
  return cluster::repair(use_cases_.store, request);
}

api::ChangesReply Commands::await_change(const api::ChangesRequest& request, const Call& call) {
  return {.token = use_cases_.changes.await(request.since, call)};
}

api::VersionReply Commands::version() {
  return {.version = use_cases_.settings.version,
          .protocol = api::kProtocolVersion,
          .node = use_cases_.settings.here,
          .store = use_cases_.store.raw().kind()};
}

}  // namespace plexvol::commands
