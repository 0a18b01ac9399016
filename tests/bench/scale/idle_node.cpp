#include "tests/bench/scale/idle_node.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/api/error.h"

namespace plexvol::scale {

namespace {

[[noreturn]] void not_idle(const std::string& what) {
  throw Error(ErrorCode::Internal, "an idle agent should not " + what);
}

reconcile::Backing backing_of(const std::string& name) {
  return {.device = device_of(name), .active = true, .ours = true, .making = false};
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path);
  if (!(file << text << std::flush)) throw std::runtime_error("cannot write " + path.string());
}

}  // namespace

void Looks::note(const std::string& volume) {
  const std::lock_guard lock(mutex_);
  seen_.insert(volume);
}

std::size_t Looks::volumes() const {
  const std::lock_guard lock(mutex_);
  return seen_.size();
}

IdleRunner::IdleRunner(const std::vector<model::Volume>& volumes) {
  for (const model::Volume& volume : volumes) {
    if (volume.mirrored()) events_ += events_of(volume);
  }
  events_ += "exists -\n";
}

process::Output IdleRunner::run(const process::Command& command) {
  const auto has = [&](const char* word) {
    return std::find(command.argv.begin(), command.argv.end(), word) != command.argv.end();
  };
  if (!has("events2") || !has("--now")) not_idle("run " + process::to_text(command));
  process::Output output;
  output.out = events_;
  return output;
}

std::map<std::string, reconcile::Backing> IdlePool::find(const std::vector<std::string>& names,
                                                         const std::string&) {
  std::map<std::string, reconcile::Backing> found;
  for (const std::string& name : names) found[name] = backing_of(name);
  looks_.note(names.front());
  return found;
}

std::optional<reconcile::Backing> IdlePool::known(const std::string& name) const {
  constexpr const char* kMetadataEnd = ".meta";
  if (!name.ends_with(kMetadataEnd)) looks_.note(name);
  return backing_of(name);
}

std::optional<std::map<std::string, reconcile::Backing>> IdlePool::recall(
    const std::vector<std::string>& names, const std::string& volume_id) {
  return find(names, volume_id);
}

reconcile::Backing IdlePool::create(const std::string& name, std::uint64_t, const std::string&) {
  not_idle("create " + name);
}
void IdlePool::finish(const std::vector<std::string>& names, const std::string&) {
  not_idle("finish " + names.front());
}
void IdlePool::activate(const std::string& name) {
  not_idle("activate " + name);
}
void IdlePool::remove(const std::vector<std::string>& names) {
  not_idle("remove " + names.front());
}
void IdlePool::remove_remains(const std::string& name) {
  not_idle("remove what is left of " + name);
}

void IdlePool::measure(model::Pool& pool) {
  pool = node_entry(node_name(0)).pools.front();
}

drbd::Settings write_drbd_files(const std::string& directory, const std::string& node,
                                const std::vector<model::Volume>& volumes) {
  const std::filesystem::path base(directory);
  const std::filesystem::path module = base / "module";
  const std::filesystem::path config = base / node;
  std::filesystem::create_directories(module);
  std::filesystem::create_directories(config);
  write_file(module / "version", std::string(kDrbdVersion) + "\n");
  for (const model::Volume& volume : volumes) {
    if (!volume.mirrored()) continue;
    write_file(config / (volume.name + ".res"), drbd::to_config(resource_of(volume, node)));
  }
  return {.config_directory = config,
          .module = {.directory = module, .proc = base / "none"},
          .try_nine = false};
}

}  // namespace plexvol::scale
