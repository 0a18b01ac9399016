#include "agent/model/codec.h"

#include <fmt/core.h>

#include <limits>
#include <utility>

#include "agent/model/members.h"

namespace plexvol::model {

namespace {

constexpr std::pair<Format, const char*> kFormats[] = {
    {Format::Never, "Never"}, {Format::Started, "Started"}, {Format::Done, "Done"}};
constexpr std::pair<Holder, const char*> kHolders[] = {{Holder::Attach, "attach"},
                                                       {Holder::Mount, "mount"}};

// No device is larger (2^63 - 1 bytes), and sums of two sizes do not overflow.
constexpr auto kMaxSize = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

template <class E, std::size_t N>
const char* word_of(const std::pair<E, const char*> (&table)[N], E value) {
  for (const auto& [candidate, word] : table) {
    if (candidate == value) return word;
  }
  return "";
}

template <class E, std::size_t N>
E value_of(const std::pair<E, const char*> (&table)[N], const char* key, Members& members) {
  const std::string text = members.text(key);
  for (const auto& [candidate, word] : table) {
    if (text == word) return candidate;
  }
  members.reject(key, fmt::format("is \"{}\", which this version does not know", text));
}

Json to_members(const Replica& replica) {
  Json json{{"node", replica.node},
            {"made", replica.made},
            {"filled_by_peer", replica.filled_by_peer},
            {"number", replica.number}};
  if (replica.gains_metadata) json["gains_metadata"] = true;
  return with_unknown(std::move(json), replica.unknown);
}

Replica to_replica(Members members, unsigned place) {
  Replica replica{.node = members.text("node"),
                  .made = members.flag("made"),
                  .filled_by_peer = members.flag("filled_by_peer", false),
                  .number = members.number_or("number", place),
                  .gains_metadata = members.flag("gains_metadata", false)};
  replica.unknown = members.rest();
  return replica;
}

Json to_members(const Current::Forced& forced) {
  return with_unknown({{"node", forced.node},
                       {"at", forced.at},
                       {"by", forced.by},
                       {"disk_state", forced.disk_state}},
                      forced.unknown);
}

std::optional<Current::Forced> find_forced(const char* key, Members& current) {
  if (current.find(key) == nullptr) return std::nullopt;
  Members members = current.object(key);
  Current::Forced forced{.node = members.text("node"),
                         .at = members.number_or<std::int64_t>("at", 0),
                         .by = members.text("by", ""),
                         .disk_state = members.text("disk_state", "")};
  forced.unknown = members.rest();
  return forced;
}

Json to_members(const Release& release) {
  return with_unknown({{"id", release.id}, {"reason", release.reason}}, release.unknown);
}

std::optional<Release> find_release(Members& attachment) {
  if (attachment.find("release") == nullptr) return std::nullopt;
  Members members = attachment.object("release");
  Release release{.id = members.text("id"), .reason = members.text("reason", "")};
  release.unknown = members.rest();
  return release;
}

Json to_members(const Pool& pool) {
  return with_unknown({{"name", pool.name},
                       {"type", pool.type},
                       {"total_bytes", pool.total_bytes},
                       {"free_bytes", pool.free_bytes},
                       {"error", pool.error},
                       {"extent_bytes", pool.extent_bytes},
                       {"max_promised_percent", pool.max_promised_percent}},
                      pool.unknown);
}

Pool to_pool(Members members) {
  Pool pool{.name = members.text("name"),
            .type = members.text("type", ""),
            .total_bytes = members.number_or<std::uint64_t>("total_bytes", 0),
            .free_bytes = members.number_or<std::uint64_t>("free_bytes", 0),
            .error = members.text("error", ""),
            .extent_bytes = members.number_or<std::uint64_t>("extent_bytes", 0),
            .max_promised_percent = members.number_or<unsigned>("max_promised_percent", 0)};
  pool.unknown = members.rest();
  return pool;
}

template <class T>
Json to_list(const std::vector<T>& parts) {
  Json list = Json::array();
  for (const T& part : parts) list.push_back(to_members(part));
  return list;
}

}  // namespace

std::string to_json(const Volume& volume) {
  Json json{{"name", volume.name},
            {"id", volume.id},
            {"size_bytes", volume.size_bytes},
            {"pool", volume.pool},
            {"replicas", to_list(volume.replicas)},
            {"former", volume.former},
            {"fs_type", volume.fs_type},
            {"mkfs_options", volume.mkfs_options},
            {"minor", volume.minor},
            {"port", volume.port},
            {"secret", volume.secret},
            {"current_uuid", volume.current_uuid},
            {"format", word_of(kFormats, volume.format)},
            {"deleting", volume.deleting},
            {"copies_asked", volume.copies_asked},
            {"filesystem_grows", volume.filesystem_grows}};
  // Of the few that are being changed.
  if (!volume.leaving.empty()) json["leaving"] = volume.leaving;
  if (!volume.arriving.empty()) json["arriving"] = volume.arriving;
  if (volume.drops_mirror) json["drops_mirror"] = true;
  return with_unknown(std::move(json), volume.unknown).dump();
}

// What says whose the data is, where it is and whether it may be formatted has no default: a record
// without its minor would have the logical volume used directly, beside its mirror; one without its
// format would have it formatted again.
template <>
Volume from_json<Volume>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  Volume volume{.name = members.text("name"),
                .id = members.text("id"),
                .size_bytes = members.number("size_bytes", kMaxSize),
                .pool = members.text("pool"),
                .replicas = {},
                .former = members.texts("former", {}),
                .fs_type = members.text("fs_type"),
                .mkfs_options = members.text("mkfs_options", ""),
                .minor = members.number("minor", kFirstMinor + kSlots - 1),
                .port = members.number<std::uint16_t>("port"),
                .secret = members.text("secret"),
                .current_uuid = members.text("current_uuid"),
                .format = value_of(kFormats, "format", members),
                .deleting = members.flag("deleting", false),
                .copies_asked = members.number_or<unsigned>("copies_asked", 0),
                .leaving = members.text("leaving", ""),
                .arriving = members.text("arriving", ""),
                .drops_mirror = members.flag("drops_mirror", false),
                .filesystem_grows = members.flag("filesystem_grows", false)};
  for (const Members& replica : members.objects("replicas")) {
    volume.replicas.push_back(to_replica(replica, static_cast<unsigned>(volume.replicas.size())));
  }
  volume.unknown = members.rest();
  return volume;
}

std::string to_json(const Current& current) {
  Json json{{"epoch", current.epoch}, {"nodes", current.nodes}, {"left", current.left}};
  if (current.forced) json["forced"] = to_members(*current.forced);
  if (current.last_forced) json["last_forced"] = to_members(*current.last_forced);
  return dump_any(with_unknown(std::move(json), current.unknown));
}

template <>
Current from_json<Current>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  Current current{.epoch = members.number<std::uint64_t>("epoch"),
                  .nodes = members.texts("nodes"),
                  .left = members.times("left"),
                  .forced = find_forced("forced", members),
                  .last_forced = find_forced("last_forced", members)};
  current.unknown = members.rest();
  return current;
}

std::string to_json(const Attachment& attachment) {
  Json json{{"node", attachment.node},
            {"since", attachment.since},
            {"holder", word_of(kHolders, attachment.holder)},
            {"names", attachment.names}};
  if (attachment.release) json["release"] = to_members(*attachment.release);
  if (!attachment.silent_session.empty()) json["silent_session"] = attachment.silent_session;
  return with_unknown(std::move(json), attachment.unknown).dump();
}

template <>
Attachment from_json<Attachment>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  Attachment attachment{.node = members.text("node"),
                        .since = members.number_or<std::int64_t>("since", 0),
                        .holder = value_of(kHolders, "holder", members),
                        .names = members.texts("names", {}),
                        .release = find_release(members),
                        .silent_session = members.text("silent_session", "")};
  attachment.unknown = members.rest();
  return attachment;
}

std::string to_json(const Status& status) {
  return dump_any(with_unknown({{"session", status.session},
                                {"attachment_revision", status.attachment_revision},
                                {"ready", status.ready},
                                {"device", status.device},
                                {"role", status.role},
                                {"disk_state", status.disk_state},
                                {"connection", status.connection},
                                {"synced_percent", status.synced_percent},
                                {"out_of_sync_bytes", status.out_of_sync_bytes},
                                {"backing_gone", status.backing_gone},
                                {"mounts", status.mounts},
                                {"refused_release", status.refused_release},
                                {"error_code", to_text(status.error_code)},
                                {"error", status.error},
                                {"device_bytes", status.device_bytes}},
                               status.unknown));
}

template <>
Status from_json<Status>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  Status status{.session = members.text("session", ""),
                .attachment_revision = members.number_or<std::int64_t>("attachment_revision", 0),
                .ready = members.flag("ready", false),
                .device = members.text("device", ""),
                .role = members.text("role", ""),
                .disk_state = members.text("disk_state", ""),
                .connection = members.text("connection", ""),
                .synced_percent = members.percent("synced_percent", 100),
                .out_of_sync_bytes = members.number_or<std::uint64_t>("out_of_sync_bytes", 0),
                .backing_gone = members.flag("backing_gone", false),
                .mounts = members.text_list("mounts"),
                .refused_release = members.text("refused_release", ""),
                .error_code = error_code_from_text(members.text("error_code", "Internal")),
                .error = members.text("error", ""),
                .device_bytes = members.number_or<std::uint64_t>("device_bytes", 0)};
  status.unknown = members.rest();
  return status;
}

std::string to_json(const Node& node) {
  return dump_any(with_unknown({{"name", node.name},
                                {"address", node.address},
                                {"version", node.version},
                                {"drbd_version", node.drbd_version},
                                {"mirror_error", node.mirror_error},
                                {"pools", to_list(node.pools)},
                                {"kernel", node.kernel}},
                               node.unknown));
}

template <>
Node from_json<Node>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  Node node{.name = members.text("name"),
            .address = members.text("address", ""),
            .version = members.text("version", ""),
            .drbd_version = members.text("drbd_version", ""),
            .mirror_error = members.text("mirror_error", ""),
            .pools = {},
            .kernel = members.text("kernel", "")};
  for (const Members& pool : members.objects_or_none("pools")) node.pools.push_back(to_pool(pool));
  node.unknown = members.rest();
  return node;
}

std::string to_json(const Cordon& cordon) {
  return with_unknown({{"drain", cordon.drain}, {"forget", cordon.forget}, {"since", cordon.since}},
                      cordon.unknown)
      .dump();
}

template <>
Cordon from_json<Cordon>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  Cordon cordon{.drain = members.flag("drain", false),
                .forget = members.flag("forget", false),
                .since = members.number_or<std::int64_t>("since", 0)};
  cordon.unknown = members.rest();
  return cordon;
}

std::string to_json(const Schema& schema) {
  return with_unknown({{"writers", schema.writers}, {"by", schema.by}}, schema.unknown).dump();
}

template <>
Schema from_json<Schema>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  Schema schema{.writers = members.number<unsigned>("writers"), .by = members.text("by", "")};
  schema.unknown = members.rest();
  return schema;
}

std::string to_json(const Machine& machine) {
  return with_unknown({{"id", machine.id}, {"since", machine.since}}, machine.unknown).dump();
}

template <>
Machine from_json<Machine>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  Machine machine{.id = members.text("id"), .since = members.number_or<std::int64_t>("since", 0)};
  machine.unknown = members.rest();
  return machine;
}

std::string to_json(const Tenant& tenant) {
  return with_unknown({{"volume_id", tenant.volume_id}, {"namespace", tenant.name}}, tenant.unknown)
      .dump();
}

template <>
Tenant from_json<Tenant>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  Tenant tenant{.volume_id = members.text("volume_id"), .name = members.text("namespace")};
  tenant.unknown = members.rest();
  return tenant;
}

}  // namespace plexvol::model
