#include "agent/drbd/drbd.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "agent/api/error.h"
#include "agent/base/files.h"
#include "agent/drbd/config_file.h"
#include "agent/drbd/config_text.h"
#include "agent/drbd/events.h"
#include "agent/drbd/refusal.h"

namespace plexvol::drbd {
namespace {

constexpr const char* kDrbdadm = "/usr/sbin/drbdadm";
constexpr const char* kDrbdsetup = "/usr/sbin/drbdsetup";

// The kernel holds a promotion back while it waits for the fence handler, which asks the store; no
// CPU time is used then.
constexpr std::chrono::milliseconds kHandlerLimit{120'000};

// In the file that says that the kernel has not been told of a configuration: it was told all of it
// but the resync options. An empty file: anything may differ.
constexpr const char* kOnlyResyncOptions = "resync options\n";

// States of a connection that last; anything else is on its way to one of them.
bool is_settled(const std::string& connection) {
  return connection == "StandAlone" || connection == "Connecting" || connection == "Connected" ||
         connection.empty();
}

// drbdadm would first detach and remove what stands in its way.
void check_minor_is_free(const std::map<std::string, ResourceState>& all, const std::string& name,
                         unsigned minor) {
  for (const auto& [other, state] : all) {
    const bool has_device = !state.disk_state.empty();
    if (!has_device || (other == name) == (state.minor == minor)) continue;
    throw Error(
        ErrorCode::Conflict,
        fmt::format("DRBD: cannot bring up {} with minor {}: the kernel already has {} with "
                    "minor {}; take that down first (drbdsetup down {})",
                    name, minor, other, state.minor, other));
  }
}

// 8.4 knows the role by device, 9 by resource.
std::string role_target(const std::string& name, const ResourceState& state,
                        Generation generation) {
  return generation == Generation::Nine ? name : std::to_string(state.minor);
}

std::vector<std::string> resync_target(const std::string& name, const ResourceState& state,
                                       Generation generation) {
  if (generation == Generation::Eight) return {std::to_string(state.minor)};
  return {name, std::to_string(state.peer_number), "0"};
}

// "drbdsetup VERB TARGET...".
std::vector<std::string> drbdsetup(const char* verb, const std::vector<std::string>& target) {
  std::vector<std::string> argv{kDrbdsetup, verb};
  argv.insert(argv.end(), target.begin(), target.end());
  return argv;
}

// What a person would look at next: "here UpToDate, connection Connecting, peer Unknown/DUnknown".
std::string describe(const std::optional<ResourceState>& state) {
  if (!state) return "";
  return fmt::format(" (here {}, connection {}, peer {}/{})", state->disk_state, state->connection,
                     state->peer_role, state->peer_disk_state);
}

}  // namespace

Drbd::Drbd(process::Runner& runner, Settings settings)
    : runner_(runner), settings_(std::move(settings)) {}

Generation Drbd::generation() const {
  const Generation found = generation_of(module_version());
  if (found == Generation::Eight || settings_.try_nine) return found;
  throw Error(ErrorCode::Unsupported,
              fmt::format("DRBD {} is loaded, but this node's volumes were created with 8.4: load "
                          "DRBD 8.4 (DRBD 9 is used only if drbd.newest is 9)",
                          module_version()));
}

std::optional<ResourceState> Drbd::find_resource(const std::string& name) {
  const auto all = list_resources();
  const auto found = all.find(name);
  return found == all.end() ? std::nullopt : std::optional(found->second);
}

std::map<std::string, ResourceState> Drbd::list_resources() {
  if (module_version().empty()) return {};
  const process::Output output =
      runner_.run({.argv = {kDrbdsetup, "events2", "--now", "--statistics"}, .input = {}});
  if (output.exit_code != 0) throw to_error("list resources", output);
  return parse_events2(output.out);
}

bool Drbd::config_is_current(const Resource& resource) const {
  return ::access(untold_path(settings_, resource.name).c_str(), F_OK) != 0 &&
         read_file(config_path(settings_, resource.name)) == wanted_config(resource);
}

bool Drbd::connection_is_current(const Resource& resource) const {
  const auto file = read_file(config_path(settings_, resource.name));
  return ::access(untold_path(settings_, resource.name).c_str(), F_OK) != 0 && file &&
         connection_lines(*file) == connection_lines(wanted_config(resource));
}

bool Drbd::only_resync_options_differ(const Resource& resource) const {
  const auto untold = read_file(untold_path(settings_, resource.name));
  if (untold && *untold != kOnlyResyncOptions) return false;
  const auto file = read_file(config_path(settings_, resource.name));
  return file && without_resync_options(*file) == without_resync_options(wanted_config(resource));
}

std::string Drbd::wanted_config(const Resource& resource) const {
  return to_config(resource, generation(), settings_.resync_rate_mib);
}

void Drbd::write_config(const Resource& resource) {
  const std::string text = wanted_config(resource);
  replace_file(untold_path(settings_, resource.name),
               only_resync_options_differ(resource) ? kOnlyResyncOptions : "");
  replace_file(config_path(settings_, resource.name), text);
}

void Drbd::remove_config(const std::string& name) {
  const std::string path = config_path(settings_, name);
  ::unlink(dump_path(settings_, name).c_str());
  ::unlink(untold_path(settings_, name).c_str());
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return;
  const int number = errno;
  throw Error(ErrorCode::Internal,
              fmt::format("cannot remove {}: {}", path, base::error_text(number)));
}

std::vector<std::string> Drbd::list_configured() const {
  constexpr std::string_view kEnd = ".res";
  std::vector<std::string> names;
  std::error_code error;  // no folder: no resource was ever configured here
  for (const auto& entry : std::filesystem::directory_iterator(settings_.config_directory, error)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with('.') || !name.ends_with(kEnd)) continue;
    name.resize(name.size() - kEnd.size());
    names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool Drbd::has_config_of(const std::string& name, const std::string& secret) const {
  const auto config = read_file(config_path(settings_, name));
  return config && config->find("shared-secret \"" + secret + "\"") != std::string::npos;
}

bool Drbd::has_config(const std::string& name) const {
  return ::access(config_path(settings_, name).c_str(), F_OK) == 0;
}

bool Drbd::is_own(const std::string& name, const ResourceState& state, unsigned minor,
                  const std::string& secret) {
  const bool has_device = !state.disk_state.empty();
  if (has_device && state.minor != minor) return false;
  if (has_config(name)) return has_config_of(name, secret);
  const process::Output show = runner_.run({.argv = {kDrbdsetup, "show", name}, .input = {}});
  // The text of `show` holds the secret, so it does not go into a message.
  if (show.exit_code != 0) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("DRBD: drbdsetup show {} failed: exit code {}", name, show.exit_code));
  }
  return show.out.find("\"" + secret + "\"") != std::string::npos;
}

void Drbd::adjust(const std::string& name) {
  check_resource_name(name);
  const std::string path = config_path(settings_, name);
  const auto config = read_file(path);
  const auto minor = config ? find_minor(*config) : std::nullopt;
  if (!minor) {
    throw Error(
        ErrorCode::Internal,
        fmt::format("DRBD: cannot bring up {}: {} is missing or not one of ours", name, path));
  }
  check_minor_is_free(list_resources(), name, *minor);
  // "all" is all of this one file: so no name can be taken for something else ("minor-1").
  const process::Output output =
      runner_.run({.argv = {kDrbdadm, "-c", path, "adjust", "all"}, .input = {}});
  if (output.exit_code != 0) throw to_error(fmt::format("bring up {} from {}", name, path), output);
  ::unlink(untold_path(settings_, name).c_str());
}

void Drbd::promote(const std::string& name, const ResourceState& seen) {
  const process::Output output =
      runner_.run({.argv = {kDrbdsetup, "primary", role_target(name, seen, generation())},
                   .input = {},
                   .stall_limit = kHandlerLimit});
  if (output.exit_code == 0) return;

  const auto after = find_resource(name);
  const std::string what = fmt::format("make {} primary{}", name, describe(after));
  const auto answer = parse_kernel_answer(output.err + "\n" + output.out);
  constexpr int kPeerNotOutdated = -7;
  const bool on_its_way =
      after && (!is_settled(after->connection) || after->peer_disk_state == "Outdated");
  // Right after the link broke the handler may have said yes, and its answer was lost on the way.
  if (answer && answer->number == kPeerNotOutdated && on_its_way) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("DRBD: cannot {} yet: (-7) {}", what, answer->words));
  }
  throw to_error(what, output);
}

void Drbd::promote_by_force(const std::string& name) {
  const auto state = find_resource(name);
  if (!state || state->role == "Primary") return;
  const process::Output output = runner_.run(
      {.argv = {kDrbdsetup, "primary", role_target(name, *state, generation()), "--force"},
       .input = {},
       .stall_limit = kHandlerLimit});
  if (output.exit_code != 0)
    throw to_error(fmt::format("force {} to become primary", name), output);
}

void Drbd::demote(const std::string& name, const ResourceState& seen) {
  const process::Output output = runner_.run(
      {.argv = {kDrbdsetup, "secondary", role_target(name, seen, generation())}, .input = {}});
  if (output.exit_code != 0) throw to_error(fmt::format("make {} secondary", name), output);
}

namespace {

// 8.4 knows a connection by its ends, 9 by the peer's number.
std::vector<std::string> connection_target(process::Runner& runner, const std::string& name,
                                           const ResourceState& state, Generation generation) {
  if (generation == Generation::Nine) return {name, std::to_string(state.peer_number)};
  const process::Output show = runner.run({.argv = {kDrbdsetup, "show", name}, .input = {}});
  // The text of `show` holds the secret, so it does not go into a message.
  if (show.exit_code != 0) {
    throw Error(ErrorCode::Internal,
                fmt::format("DRBD: drbdsetup show {} failed: exit code {}", name, show.exit_code));
  }
  if (const auto ends = parse_endpoints(show.out)) return {ends->local, ends->peer};
  throw Error(
      ErrorCode::Internal,
      fmt::format("DRBD: cannot disconnect {0}: drbdsetup show {0} shows no addresses", name));
}

}  // namespace

void Drbd::disconnect(const std::string& name) {
  check_resource_name(name);
  const auto state = find_resource(name);
  if (!state || state->connection == "StandAlone" || state->connection.empty()) return;
  std::vector<std::string> argv =
      drbdsetup("disconnect", connection_target(runner_, name, *state, generation()));
  argv.emplace_back("--force");
  const process::Output output = runner_.run({.argv = std::move(argv), .input = {}});
  if (output.exit_code != 0) throw to_error("disconnect " + name, output);
}

void Drbd::give_up_disk(const std::string& name) {
  const auto state = find_resource(name);
  if (!state || state->disk_state == "Diskless") return;
  const process::Output output = runner_.run(
      {.argv = {kDrbdsetup, "detach", std::to_string(state->minor), "--force"}, .input = {}});
  if (output.exit_code != 0) throw to_error("detach the disk of " + name, output);
}

void Drbd::take_new_size(const std::string& name) {
  const auto state = find_resource(name);
  if (!state) throw Error(ErrorCode::Unavailable, "DRBD: " + name + " is not up");
  const process::Output output = runner_.run(
      {.argv = drbdsetup("resize", {std::to_string(state->minor), "--assume-clean"}), .input = {}});
  if (output.exit_code != 0) throw to_error(fmt::format("let {} take its new size", name), output);
}

void Drbd::pause_resync(const std::string& name) {
  const auto state = find_resource(name);
  if (!state || state->resync_suspended.find("user") != std::string::npos) return;
  const process::Output output = runner_.run(
      {.argv = drbdsetup("pause-sync", resync_target(name, *state, generation())), .input = {}});
  if (output.exit_code != 0) throw to_error(fmt::format("pause the resync of {}", name), output);
}

void Drbd::resume_resync(const std::string& name) {
  const auto state = find_resource(name);
  if (!state || state->resync_suspended.find("user") == std::string::npos) return;
  const process::Output output = runner_.run(
      {.argv = drbdsetup("resume-sync", resync_target(name, *state, generation())), .input = {}});
  if (output.exit_code != 0) throw to_error(fmt::format("resume the resync of {}", name), output);
}

void Drbd::resume_io(const std::string& name) {
  const auto state = find_resource(name);
  if (!state || state->suspended == "no") return;
  const process::Output output =
      runner_.run({.argv = {kDrbdsetup, "resume-io", std::to_string(state->minor)}, .input = {}});
  if (output.exit_code != 0) throw to_error("resume the I/O of " + name, output);
}

void Drbd::reconnect_discarding(const std::string& name) {
  check_resource_name(name);
  const std::string path = config_path(settings_, name);
  const process::Output output = runner_.run(
      {.argv = {kDrbdadm, "-c", path, "--", "--discard-my-data", "connect", "all"}, .input = {}});
  if (output.exit_code != 0) throw to_error(fmt::format("connect {} from {}", name, path), output);
}

void Drbd::down(const std::string& name) {
  check_resource_name(name);
  const process::Output output = runner_.run({.argv = {kDrbdsetup, "down", name}, .input = {}});
  if (output.exit_code != 0) throw to_error(fmt::format("take {} down", name), output);
}

}  // namespace plexvol::drbd
