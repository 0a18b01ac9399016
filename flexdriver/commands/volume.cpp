// plexvol volume create|list|show|delete
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "agent/api/names.h"
#include "agent/api/protocol.h"
#include "flexdriver/commands/commands.h"
#include "flexdriver/commands/table.h"

namespace plexvol::driver {

namespace {

std::string join(const std::vector<std::string>& words, const char* separator = ",") {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

void print_volumes(const std::vector<api::VolumeInfo>& volumes) {
  if (volumes.empty()) {
    std::puts("no volumes");
    return;
  }
  Table table({"NAME", "SIZE", "POOL", "FS", "STATE", "COPIES", "ATTACHED TO"});
  for (const auto& volume : volumes) {
    std::vector<std::string> nodes;
    for (const auto& replica : volume.replicas) nodes.push_back(replica.node);
    table.add({volume.name, size_to_text(volume.size_bytes), volume.pool, volume.fs_type,
               volume.state, join(nodes), or_dash(volume.attached_to)});
  }
  std::fputs(table.to_text().c_str(), stdout);
}

std::string describe_copy(const api::ReplicaInfo& replica) {
  if (replica.disk_state.empty()) return "-";
  if (replica.synced_percent >= 100) return replica.disk_state;
  return replica.disk_state + " " + std::to_string(static_cast<int>(replica.synced_percent)) + "%";
}

void print_volume(const api::VolumeInfo& volume) {
  print_volumes({volume});
  std::puts("");
  Table table({"NODE", "AGENT", "ROLE", "COPY", "CONNECTION", "USABLE ALONE", "DEVICE", "MOUNTED ON"});
  for (const auto& replica : volume.replicas) {
    table.add({replica.node, replica.alive ? "alive" : "away", or_dash(replica.role),
               describe_copy(replica), or_dash(replica.connection), replica.current ? "yes" : "no",
               or_dash(replica.device), or_dash(join(replica.mounts, " "))});
  }
  std::fputs(table.to_text().c_str(), stdout);
  for (const auto& replica : volume.replicas) {
    if (!replica.error.empty()) {
      std::printf("\n%s: %s\n", replica.node.c_str(), replica.error.c_str());
    }
  }
}

void add_create(CLI::App& volumes, const Person& person) {
  auto request = std::make_shared<api::CreateVolumeRequest>();
  auto* command = volumes.add_subcommand(
      "create", "Make a volume, and wait until its copies stand.\nExample: plexvol volume create data "
                "--size 10Gi --replicas 2 --nodes n1,n2");
  command->add_option("NAME", request->name, "1 to 63 letters, digits, '.', '_' or '-'")->required();
  command->add_option("--size", request->size, "For example 500Mi or 10Gi")->required();
  command->add_option("--replicas", request->replicas, "Copies, each on a node of its own: 1 or 2 (default 1)");
  command->add_option("--nodes", request->nodes, "On just these nodes (default: most free space)")
      ->delimiter(',');
  command->add_option("--pool", request->pool, "Default: the only one there is, or \"default\"");
  command->add_option("--fs-type", request->fs_type, "ext4 (default) or xfs");
  command->add_option("--mkfs-options", request->mkfs_options, "For mkfs, for example '-m 1'");
  command->callback([request, &person] {
    const std::string result = person.ask(api::kVolumeCreatePath, api::to_json(*request));
    if (person.json()) {
      std::puts(result.c_str());
    } else {
      print_volume(api::from_json<api::VolumeInfo>(result));
    }
  });
}

void add_list(CLI::App& volumes, const Person& person) {
  auto* command = volumes.add_subcommand("list", "All volumes of the cluster, one a line");
  command->callback([&person] {
    const std::string result = person.ask(api::kVolumeListPath, "{}");
    if (person.json()) {
      std::puts(result.c_str());
    } else {
      print_volumes(api::from_json<std::vector<api::VolumeInfo>>(result));
    }
  });
}

void add_show(CLI::App& volumes, const Person& person) {
  auto name = std::make_shared<std::string>();
  auto* command = volumes.add_subcommand("show", "One volume with its copies, and what is wrong with them");
  command->add_option("NAME", *name)->required();
  command->callback([name, &person] {
    const std::string result =
        person.ask(api::kVolumeShowPath, api::to_json(api::VolumeNameRequest{.name = *name}));
    if (person.json()) {
      std::puts(result.c_str());
    } else {
      print_volume(api::from_json<api::VolumeInfo>(result));
    }
  });
}

void add_delete(CLI::App& volumes, const Person& person) {
  auto name = std::make_shared<std::string>();
  auto* command = volumes.add_subcommand(
      "delete", "Remove a volume and its data. Refused while it is attached. Asks nothing.");
  command->add_option("NAME", *name)->required();
  command->callback([name, &person] {
    const std::string result =
        person.ask(api::kVolumeDeletePath, api::to_json(api::VolumeNameRequest{.name = *name}));
    if (person.json()) {
      std::puts(result.c_str());
      return;
    }
    const auto reply = api::from_json<api::DeleteVolumeReply>(result);
    if (reply.waiting_for.empty()) {
      std::printf("volume %s is deleted\n", name->c_str());
    } else {
      std::printf("volume %s is being deleted; what is on %s is removed when it returns\n",
                  name->c_str(), join(reply.waiting_for, ", ").c_str());
    }
  });
}

}  // namespace

void add_volume_commands(CLI::App& app, const Person& person) {
  auto* volumes = app.add_subcommand("volume", "Make, show and delete volumes");
  volumes->require_subcommand(1);
  add_create(*volumes, person);
  add_list(*volumes, person);
  add_show(*volumes, person);
  add_delete(*volumes, person);
}

}  // namespace plexvol::driver
