#include "agent/model/codec.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace plexvol::model {

namespace {

using Json = nlohmann::json;

constexpr std::pair<Format, const char*> kFormats[] = {
    {Format::Never, "Never"}, {Format::Started, "Started"}, {Format::Done, "Done"}};
constexpr std::pair<Holder, const char*> kHolders[] = {{Holder::Attach, "attach"},
                                                       {Holder::Mount, "mount"}};

template <class E, std::size_t N>
const char* word_of(const std::pair<E, const char*> (&table)[N], E value) {
  for (const auto& [candidate, word] : table) {
    if (candidate == value) return word;
  }
  return "";
}

template <class E, std::size_t N>
E value_of(const std::pair<E, const char*> (&table)[N], const std::string& text) {
  for (const auto& [candidate, word] : table) {
    if (text == word) return candidate;
  }
  throw Error(ErrorCode::Internal, "the store holds the unknown word \"" + text + "\"");
}

// One place turns the library's exceptions into our own error, with the value's kind in front.
template <class F>
auto decode(const char* what, const std::string& text, F read) {
  try {
    return read(Json::parse(text));
  } catch (const Json::exception& e) {
    throw Error(ErrorCode::Internal,
                std::string("the store's ") + what + " cannot be read: " + e.what());
  }
}

}  // namespace

std::string to_json(const Volume& volume) {
  Json replicas = Json::array();
  for (const Replica& replica : volume.replicas) {
    replicas.push_back({{"node", replica.node},
                        {"made", replica.made},
                        {"filled_by_peer", replica.filled_by_peer},
                        {"number", replica.number}});
  }
  return Json{{"name", volume.name},
              {"id", volume.id},
              {"size_bytes", volume.size_bytes},
              {"pool", volume.pool},
              {"replicas", replicas},
              {"former", volume.former},
              {"fs_type", volume.fs_type},
              {"mkfs_options", volume.mkfs_options},
              {"minor", volume.minor},
              {"port", volume.port},
              {"secret", volume.secret},
              {"current_uuid", volume.current_uuid},
              {"format", word_of(kFormats, volume.format)},
              {"deleting", volume.deleting},
              {"copies_asked", volume.copies_asked}}
      .dump();
}

template <>
Volume from_json<Volume>(const std::string& text) {
  return decode("volume", text, [](const Json& json) {
    Volume volume{.name = json.at("name"),
                  .id = json.at("id"),
                  .size_bytes = json.at("size_bytes"),
                  .pool = json.at("pool"),
                  .replicas = {},
                  .former = json.value("former", std::set<std::string>{}),
                  .fs_type = json.at("fs_type"),
                  .mkfs_options = json.at("mkfs_options"),
                  .minor = json.at("minor"),
                  .port = json.at("port"),
                  .secret = json.at("secret"),
                  .current_uuid = json.at("current_uuid"),
                  .format = value_of(kFormats, json.at("format").get<std::string>()),
                  .deleting = json.at("deleting"),
                  .copies_asked = json.value("copies_asked", 0U)};
    for (const Json& replica : json.at("replicas")) {
      const auto place = static_cast<unsigned>(volume.replicas.size());
      volume.replicas.push_back({.node = replica.at("node"),
                                 .made = replica.at("made"),
                                 .filled_by_peer = replica.value("filled_by_peer", false),
                                 .number = replica.value("number", place)});
    }
    return volume;
  });
}

std::string to_json(const Current& current) {
  Json json{{"epoch", current.epoch}, {"nodes", current.nodes}, {"left", current.left}};
  const auto put = [&json](const char* key, const std::optional<Current::Forced>& forced) {
    if (!forced) return;
    json[key] = {{"node", forced->node},
                 {"at", forced->at},
                 {"by", forced->by},
                 {"disk_state", forced->disk_state}};
  };
  put("forced", current.forced);
  put("last_forced", current.last_forced);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <>
Current from_json<Current>(const std::string& text) {
  return decode("current set", text, [](const Json& json) {
    Current current{.epoch = json.at("epoch"),
                    .nodes = json.at("nodes").get<std::set<std::string>>(),
                    .left = json.at("left").get<std::map<std::string, std::int64_t>>(),
                    .forced = {},
                    .last_forced = {}};
    const auto find = [&json](const char* key) -> std::optional<Current::Forced> {
      if (!json.contains(key)) return std::nullopt;
      const Json& forced = json.at(key);
      return Current::Forced{.node = forced.at("node"),
                             .at = forced.at("at"),
                             .by = forced.at("by"),
                             .disk_state = forced.at("disk_state")};
    };
    current.forced = find("forced");
    current.last_forced = find("last_forced");
    return current;
  });
}

std::string to_json(const Attachment& attachment) {
  Json json{{"node", attachment.node},
            {"since", attachment.since},
            {"holder", word_of(kHolders, attachment.holder)},
            {"names", attachment.names}};
  if (attachment.release) {
    json["release"] = {{"id", attachment.release->id}, {"reason", attachment.release->reason}};
  }
  if (!attachment.silent_session.empty()) json["silent_session"] = attachment.silent_session;
  return json.dump();
}

template <>
Attachment from_json<Attachment>(const std::string& text) {
  return decode("attachment", text, [](const Json& json) {
    Attachment attachment{.node = json.at("node"),
                          .since = json.at("since"),
                          .holder = value_of(kHolders, json.at("holder").get<std::string>()),
                          .names = json.at("names").get<std::set<std::string>>(),
                          .release = {},
                          .silent_session = json.value("silent_session", "")};
    if (json.contains("release")) {
      const Json& release = json.at("release");
      attachment.release = Release{.id = release.at("id"), .reason = release.at("reason")};
    }
    return attachment;
  });
}

std::string to_json(const Status& status) {
  return Json{{"session", status.session},
              {"attachment_revision", status.attachment_revision},
              {"ready", status.ready},
              {"device", status.device},
              {"role", status.role},
              {"disk_state", status.disk_state},
              {"connection", status.connection},
              {"synced_percent", status.synced_percent},
              {"out_of_sync_bytes", status.out_of_sync_bytes},
              {"mounts", status.mounts},
              {"refused_release", status.refused_release},
              {"error_code", to_text(status.error_code)},
              {"error", status.error},
              {"device_bytes", status.device_bytes}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <>
Status from_json<Status>(const std::string& text) {
  return decode("status", text, [](const Json& json) {
    return Status{.session = json.at("session"),
                  .attachment_revision = json.at("attachment_revision"),
                  .ready = json.at("ready"),
                  .device = json.at("device"),
                  .role = json.at("role"),
                  .disk_state = json.at("disk_state"),
                  .connection = json.at("connection"),
                  .synced_percent = json.at("synced_percent"),
                  .out_of_sync_bytes = json.at("out_of_sync_bytes"),
                  .mounts = json.at("mounts").get<std::vector<std::string>>(),
                  .refused_release = json.at("refused_release"),
                  .error_code = error_code_from_text(json.at("error_code").get<std::string>()),
                  .error = json.at("error"),
                  .device_bytes = json.value("device_bytes", std::uint64_t{0})};
  });
}

std::string to_json(const Node& node) {
  Json pools = Json::array();
  for (const Pool& pool : node.pools) {
    pools.push_back({{"name", pool.name},
                     {"type", pool.type},
                     {"total_bytes", pool.total_bytes},
                     {"free_bytes", pool.free_bytes},
                     {"error", pool.error},
                     {"extent_bytes", pool.extent_bytes},
                     {"max_promised_percent", pool.max_promised_percent}});
  }
  return Json{{"name", node.name},
              {"address", node.address},
              {"version", node.version},
              {"drbd_version", node.drbd_version},
              {"mirror_error", node.mirror_error},
              {"pools", pools},
              {"kernel", node.kernel}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <>
Node from_json<Node>(const std::string& text) {
  return decode("node", text, [](const Json& json) {
    Node node{.name = json.at("name"),
              .address = json.at("address"),
              .version = json.at("version"),
              .drbd_version = json.at("drbd_version"),
              .mirror_error = json.at("mirror_error"),
              .pools = {},
              .kernel = json.value("kernel", "")};
    for (const Json& pool : json.at("pools")) {
      node.pools.push_back({.name = pool.at("name"),
                            .type = pool.at("type"),
                            .total_bytes = pool.at("total_bytes"),
                            .free_bytes = pool.at("free_bytes"),
                            .error = pool.at("error"),
                            .extent_bytes = pool.value("extent_bytes", std::uint64_t{0}),
                            .max_promised_percent = pool.value("max_promised_percent", 0U)});
    }
    return node;
  });
}

std::string to_json(const Cordon& cordon) {
  return Json{{"drain", cordon.drain}, {"forget", cordon.forget}, {"since", cordon.since}}.dump();
}

template <>
Cordon from_json<Cordon>(const std::string& text) {
  return decode("cordon", text, [](const Json& json) {
    return Cordon{
        .drain = json.at("drain"), .forget = json.at("forget"), .since = json.at("since")};
  });
}

std::string to_json(const Tenant& tenant) {
  return Json{{"volume_id", tenant.volume_id}, {"namespace", tenant.name}}.dump();
}

template <>
Tenant from_json<Tenant>(const std::string& text) {
  return decode("tenant", text, [](const Json& json) {
    return Tenant{.volume_id = json.at("volume_id"), .name = json.at("namespace")};
  });
}

}  // namespace plexvol::model
