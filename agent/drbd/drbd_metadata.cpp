// Drbd's part that makes metadata: drbdmeta(8) on a device that the kernel does not use.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agent/api/error.h"
#include "agent/base/files.h"
#include "agent/drbd/config_file.h"
#include "agent/drbd/drbd.h"
#include "agent/drbd/metadata.h"
#include "agent/drbd/refusal.h"

namespace plexvol::drbd {
namespace {

using process::Output;
using process::Runner;

std::uint64_t device_size_bytes(const std::string& path) {
  const int device = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const off_t end = device < 0 ? -1 : ::lseek(device, 0, SEEK_END);
  const int number = errno;
  if (device >= 0) ::close(device);
  if (end > 0) return static_cast<std::uint64_t>(end);
  throw Error(ErrorCode::Internal,
              fmt::format("cannot determine the size of {}: {}", path,
                          end == 0 ? "it is empty" : base::error_text(number)));
}

// A resource's metadata, in the words of the module's generation.
struct Metadata {
  Runner& runner;
  const Resource& resource;
  Generation generation;
};

std::string format_of(Generation generation) {
  return generation == Generation::Nine ? "v09" : "v08";
}

Output drbdmeta(const Metadata& metadata, std::vector<std::string> options,
                std::vector<std::string> what) {
  const Resource& resource = metadata.resource;
  std::vector<std::string> argv{"/usr/sbin/drbdmeta"};
  argv.insert(argv.end(), options.begin(), options.end());
  argv.insert(argv.end(), {std::to_string(resource.minor), format_of(metadata.generation),
                           resource.metadata_device, "flex-external"});
  argv.insert(argv.end(), what.begin(), what.end());
  return metadata.runner.run({.argv = std::move(argv), .input = {}});
}

Error metadata_error(const std::string& verb, const Resource& resource, const Output& output) {
  const std::string what =
      fmt::format("{} the metadata of {} on {}", verb, resource.name, resource.metadata_device);
  if (output.err.find("Device or resource busy") == std::string::npos)
    return to_error(what, output);
  return {
      ErrorCode::Conflict,
      fmt::format("DRBD: cannot {}: the device is in use by DRBD (see drbdsetup status {}) or by "
                  "something else (see lsblk)",
                  what, resource.name)};
}

struct Found {
  GenerationIdentifiers identifiers;
  std::string dump;  // "" when it cannot be dumped yet: the kernel did not end in peace with it
};

// nullopt: surely none. Anything that is neither an answer nor "none" is an error: metadata was
// made over good data because of such an answer elsewhere.
std::optional<Found> find_metadata(const Metadata& metadata) {
  const Output dump = drbdmeta(metadata, {}, {"dump-md"});
  if (dump.exit_code == 0) return Found{parse_dump_identifiers(dump.out), dump.out};
  if (dump.exit_code == 1 && dump.out.empty() && dump.err == "No valid meta data found\n") {
    return std::nullopt;
  }
  if (metadata.generation == Generation::Eight) {
    const Output identifiers = drbdmeta(metadata, {}, {"get-gi"});
    if (identifiers.exit_code == 0) return Found{parse_generation_identifiers(identifiers.out), {}};
  }
  throw metadata_error("read", metadata.resource, dump);
}

Found create_blank(const Metadata& metadata) {
  const Resource& resource = metadata.resource;
  // It was just seen that there is no metadata. --force does not make drbdmeta write over a file
  // system, only over bytes that are nothing known: an LV keeps those of its space's last user.
  std::vector<std::string> create{"create-md"};
  if (metadata.generation == Generation::Nine) create.emplace_back("1");  // peer at most
  const Output output = drbdmeta(metadata, {"--force"}, create);
  if (output.exit_code != 0) {
    throw metadata_error("create", resource, output);
  }
  auto made = find_metadata(metadata);
  if (made && made->identifiers.blank) return *std::move(made);
  throw Error(ErrorCode::Internal,
              fmt::format("DRBD: drbdmeta create-md on {} succeeded, but created no new metadata",
                          resource.metadata_device));
}

[[noreturn]] void refuse_used(const Metadata& metadata) {
  const Resource& resource = metadata.resource;
  throw Error(
      ErrorCode::Conflict,
      fmt::format("DRBD: {0} holds metadata that has been used (see drbdmeta {1} {2} {0} "
                  "flex-external show-gi); nothing was written. If volume {3} is new on this "
                  "node, wipe the device first",
                  resource.metadata_device, resource.minor, format_of(metadata.generation),
                  resource.name));
}

std::uint64_t checked_data_size(const Resource& resource) {
  const std::uint64_t data = device_size_bytes(resource.data_device);
  const std::uint64_t metadata = device_size_bytes(resource.metadata_device);
  const std::uint64_t needed = exact_metadata_size_bytes(data);
  if (metadata >= needed) return data;
  throw Error(ErrorCode::InvalidArgument,
              fmt::format("DRBD: {} is too small: it has {} bytes, and the metadata of {} needs {}",
                          resource.metadata_device, metadata, resource.name, needed));
}

}  // namespace

void Drbd::create_blank_metadata(const Resource& resource) {
  checked_data_size(resource);
  const Metadata metadata{runner_, resource, generation()};
  const auto found = find_metadata(metadata);
  if (found && !found->identifiers.blank) refuse_used(metadata);
  if (!found) create_blank(metadata);
}

// create-md and restore-md both write the block that says all this last, and at once: killed
// between, the device holds no metadata, blank metadata, or the finished one, and each of them is
// known again.
void Drbd::create_metadata(const Resource& resource, const std::string& current_uuid) {
  const std::uint64_t uuid = parse_current_uuid(current_uuid);
  const std::uint64_t data_size = checked_data_size(resource);
  const Metadata metadata{runner_, resource, generation()};
  auto found = find_metadata(metadata);
  if (found && (found->identifiers.current & ~std::uint64_t{1}) == uuid) return;
  if (found && !found->identifiers.blank) refuse_used(metadata);
  if (!found) found = create_blank(metadata);

  // The kernel sets the size when it attaches: blank, but perhaps in the middle of a first resync.
  if (found->dump.find("\nla-size-sect 0;\n") == std::string::npos) refuse_used(metadata);
  // drbdmeta opens the dump twice, so a pipe will not do: it would find nothing the second time.
  const std::string file = dump_path(settings_, resource.name);
  replace_file(file, fill_in_dump(found->dump, uuid, data_size));
  const Output restored = drbdmeta(metadata, {"--force"}, {"restore-md", file});
  ::unlink(file.c_str());
  if (restored.exit_code != 0) throw metadata_error("fill in", resource, restored);
}

}  // namespace plexvol::drbd
