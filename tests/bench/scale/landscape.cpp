#include "tests/bench/scale/landscape.h"

#include <array>
#include <cstdio>

namespace plexvol::scale {

namespace {

constexpr std::uint64_t kSizeBytes = 1ULL << 30U;
constexpr std::uint64_t kPoolBytes = 1ULL << 40U;
constexpr std::uint16_t kFirstPort = 7000;

std::string formatted(const char* format, unsigned first, unsigned second) {
  std::array<char, 64> text{};
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): the formats are constants of this file
  std::snprintf(text.data(), text.size(), format, first, second);
  return text.data();
}

// As long as what Kubernetes and the agent make.
model::Volume make_volume(unsigned node, unsigned place) {
  model::Volume volume;
  volume.id = formatted("00000000-0000-4000-8000-%06u%06u", node, place);
  volume.name = "pvc-" + volume.id;
  volume.size_bytes = kSizeBytes;
  volume.pool = kPool;
  volume.fs_type = "ext4";
  volume.format = model::Format::Done;
  volume.add_replica({.node = node_name(node), .made = true});
  return volume;
}

// 10.0.0.1 and on.
std::string address_of(const std::string& node) {
  const auto number = static_cast<unsigned>(std::stoul(node.substr(node.find('-') + 1)));
  return "10.0." + formatted("%u.%u", number / 250, number % 250 + 1);
}

drbd::Host host_of(const model::Volume& volume, const std::string& node) {
  return {.node = node,
          .address = address_of(node),
          .port = volume.port,
          .number = volume.find_replica(node)->number};
}

}  // namespace

model::Volume Landscape::make_alone(unsigned node, unsigned place) const {
  return make_volume(node % nodes_, kMirrored + place);
}

model::Volume Landscape::make_mirrored(unsigned node, unsigned place) const {
  const unsigned first = node % nodes_;
  const unsigned slot = first * kMirrored + place;
  model::Volume volume = make_volume(first, place);
  volume.add_replica({.node = node_name((first + 1 + place % kNeighbours) % nodes_), .made = true});
  volume.minor = model::kFirstMinor + slot;
  volume.port = static_cast<std::uint16_t>(kFirstPort + slot);
  volume.secret = formatted("%016x%016x", first, place);
  volume.current_uuid = formatted("%08X%08X", first + 1, place * 2);
  return volume;
}

std::vector<model::Volume> Landscape::begun_on(unsigned node) const {
  std::vector<model::Volume> found;
  for (unsigned place = 0; place < kMirrored; ++place) found.push_back(make_mirrored(node, place));
  for (unsigned place = 0; place < kAlone; ++place) found.push_back(make_alone(node, place));
  return found;
}

std::vector<model::Volume> Landscape::volumes_of(unsigned node) const {
  std::vector<model::Volume> found = begun_on(node);
  for (unsigned place = 0; place < kMirrored; ++place) {
    found.push_back(make_mirrored(node + nodes_ - 1 - place % kNeighbours, place));
  }
  return found;
}

std::string node_name(unsigned node) {
  return formatted("node-%0*u", 6, node);
}

std::string session(const std::string& node) {
  return "00000000000000000000" + node + "0";
}

model::Node node_entry(const std::string& node) {
  return {.name = node,
          .address = address_of(node),
          .version = PLEXVOL_VERSION,
          .drbd_version = kDrbdVersion,
          .mirror_error = {},
          .pools = {{.name = kPool,
                     .type = "lvm",
                     .total_bytes = kPoolBytes,
                     .free_bytes = kPoolBytes / 2,
                     .error = {}}}};
}

model::Current current_of(const model::Volume& volume) {
  model::Current current{.epoch = 1, .nodes = {}, .left = {}, .forced = {}};
  for (const std::string& node : volume.nodes()) current.nodes.insert(node);
  return current;
}

model::Status status_of(const model::Volume& volume, const std::string& node) {
  model::Status status;
  status.session = session(node);
  status.device = device_of(volume.name);
  if (volume.mirrored()) {
    status.role = "Secondary";
    status.disk_state = "UpToDate";
    status.connection = "Connected";
  }
  return status;
}

std::string device_of(const std::string& logical_volume) {
  return std::string("/dev/") + kVolumeGroup + "/" + logical_volume;
}

std::string metadata_of(const model::Volume& volume) {
  return volume.name + ".meta";
}

drbd::Resource resource_of(const model::Volume& volume, const std::string& node) {
  return {.name = volume.name,
          .minor = volume.minor,
          .secret = volume.secret,
          .data_device = device_of(volume.name),
          .metadata_device = device_of(metadata_of(volume)),
          .here = host_of(volume, node),
          .peer = host_of(volume, volume.peer_of(node))};
}

std::string events_of(const model::Volume& volume) {
  const std::string name = " name:" + volume.name;
  const std::string minor = std::to_string(volume.minor);
  const std::string size = std::to_string(volume.size_bytes / 1024);
  return "exists resource" + name + " role:Secondary suspended:no write-ordering:flush\n" +
         "exists connection" + name +
         " peer-node-id:0 conn-name:peer connection:Connected role:Secondary congested:no\n" +
         "exists device" + name + " volume:0 minor:" + minor + " disk:UpToDate size:" + size +
         " read:0 written:8192 al-writes:0 bm-writes:0 upper-pending:0 lower-pending:0"
         " al-suspended:no blocked:no\n" +
         "exists peer-device" + name +
         " peer-node-id:0 conn-name:peer volume:0 replication:Established peer-disk:UpToDate"
         " resync-suspended:no received:8192 sent:0 out-of-sync:0 pending:0 unacked:0\n";
}

}  // namespace plexvol::scale
