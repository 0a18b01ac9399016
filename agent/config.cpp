#include "agent/config.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <fstream>
#include <map>
#include <sstream>
#include <string_view>
#include <variant>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "agent/base/files.h"
#include "agent/config_check.h"

namespace plexvol {
namespace {

using nlohmann::ordered_json;
using Pools = std::vector<reconcile::PoolSettings>;
using Target = std::variant<std::string*, unsigned*, std::vector<std::string>*, Pools*>;

// One row is all there is to say about a key: the file, the flags, the help and to_json() are made
// from this table.
struct Key {
  const char* path;
  const char* flag;
  const char* help;
  Target (*target)(Config&);
};

constexpr std::array kKeys = {
    Key{"node_name", "--node-name", "this node's name in Kubernetes; default: the host name",
        [](Config& c) -> Target { return &c.node_name; }},
    Key{"address", "--address",
        "this node's IP address for DRBD; default: the default route's source address",
        [](Config& c) -> Target { return &c.address; }},
    Key{"pools", "--pool",
        "where volumes live, once per pool: name=N,type=lvm,volume_group=G or "
        "name=N,type=lvm-thin,volume_group=G,thin_pool=T or name=N,type=file,directory=D; the last "
        "two also take max_promised_percent=P: refuse a new volume if the pool's volumes would "
        "exceed P% of it together; default: no limit",
        [](Config& c) -> Target { return &c.pools; }},
    Key{"sockets", "--socket", "Unix sockets to listen on, once per socket",
        [](Config& c) -> Target { return &c.sockets; }},
    Key{"runtime_sockets", "--runtime-socket",
        "CRI sockets of the container runtimes, asked before a pod counts as gone, once per "
        "socket; default: those of containerd, CRI-O, dockershim, cri-dockerd and k3s",
        [](Config& c) -> Target { return &c.runtime_sockets; }},
    Key{"store.kind", "--store-kind", "embedded (one node) or etcd (a cluster)",
        [](Config& c) -> Target { return &c.store.kind; }},
    Key{"store.directory", "--store-directory",
        "embedded: where its files are; default: <state directory>/store",
        [](Config& c) -> Target { return &c.store.directory; }},
    Key{"store.endpoints", "--store-endpoint", "etcd: http[s]://host:port, once per member",
        [](Config& c) -> Target { return &c.store.endpoints; }},
    Key{"store.ca_file", "--store-ca-file", "etcd: CA file that its certificate is checked against",
        [](Config& c) -> Target { return &c.store.ca_file; }},
    Key{"store.certificate_file", "--store-certificate-file", "etcd: the client certificate",
        [](Config& c) -> Target { return &c.store.certificate_file; }},
    Key{"store.key_file", "--store-key-file", "etcd: the client certificate's key",
        [](Config& c) -> Target { return &c.store.key_file; }},
    Key{"store.user", "--store-user", "etcd: the user to log in as",
        [](Config& c) -> Target { return &c.store.user; }},
    Key{"store.password_file", "--store-password-file", "etcd: a file with the user's password",
        [](Config& c) -> Target { return &c.store.password_file; }},
    Key{"store.prefix", "--store-prefix", "etcd: prefix of all keys",
        [](Config& c) -> Target { return &c.store.prefix; }},
    Key{"store.lease_seconds", "--store-lease-seconds",
        "a node that is silent this long counts as gone (seconds)",
        [](Config& c) -> Target { return &c.store.lease_seconds; }},
    Key{"drbd.config_directory", "--drbd-config-directory",
        "directory for DRBD resource files; default: <state directory>/drbd.d",
        [](Config& c) -> Target { return &c.drbd.config_directory; }},
    Key{"drbd.helper", "--drbd-helper", "the installed driver, run by the kernel",
        [](Config& c) -> Target { return &c.drbd.helper; }},
    Key{"drbd.first_port", "--drbd-first-port", "first TCP port for DRBD; each volume uses one",
        [](Config& c) -> Target { return &c.drbd.first_port; }},
    Key{"drbd.max_resyncs", "--drbd-max-resyncs",
        "maximum number of concurrent resyncs on this node",
        [](Config& c) -> Target { return &c.drbd.max_resyncs; }},
    Key{"drbd.short_resync_mib", "--drbd-short-resync-mib",
        "resyncs smaller than this (MiB) are not limited; 0 limits all",
        [](Config& c) -> Target { return &c.drbd.short_resync_mib; }},
    Key{"drbd.resync_rate_mib", "--drbd-resync-rate-mib",
        "maximum rate of one resync (MiB/s); 0: 80% of the link's speed divided by "
        "drbd.max_resyncs, or 100 if the kernel does not know the speed",
        [](Config& c) -> Target { return &c.drbd.resync_rate_mib; }},
    Key{"drbd.newest", "--drbd-newest",
        "8: DRBD 8.4; 9: also DRBD 9, whose kernel module is untested: only for data that may be "
        "lost",
        [](Config& c) -> Target { return &c.drbd.newest; }},
    Key{"drbd.connect_seconds", "--drbd-connect-seconds",
        "how long to wait for a live peer to connect before promoting without it (seconds)",
        [](Config& c) -> Target { return &c.drbd.connect_seconds; }},
    Key{"state_directory", "--state-directory", "where this node keeps its state",
        [](Config& c) -> Target { return &c.state_directory; }},
    Key{"device_directory", "--device-directory", "directory with links to the volumes' devices",
        [](Config& c) -> Target { return &c.device_directory; }},
    Key{"rebuild_seconds", "--rebuild-seconds",
        "rebuild a node's replicas elsewhere after it has been down this long (seconds)",
        [](Config& c) -> Target { return &c.rebuild_seconds; }},
    Key{"ended_pod_seconds", "--ended-pod-seconds",
        "unmount a volume from a pod's directory after the pod's sandbox has been gone this long "
        "(seconds)",
        [](Config& c) -> Target { return &c.ended_pod_seconds; }},
    Key{"workers", "--workers", "number of reconcile workers",
        [](Config& c) -> Target { return &c.workers; }},
    Key{"max_connections", "--max-connections", "maximum number of concurrent calls",
        [](Config& c) -> Target { return &c.max_connections; }},
    Key{"log_level", "--log-level", "trace, debug, info, warning or error",
        [](Config& c) -> Target { return &c.log_level; }},
};

constexpr const char* kMaxPromised = "max_promised_percent";
constexpr std::array kPoolKeys = {"name", "type", "volume_group", "thin_pool", "directory"};

std::string& pool_field(reconcile::PoolSettings& pool, std::string_view key) {
  if (key == "name") return pool.name;
  if (key == "type") return pool.type;
  if (key == "volume_group") return pool.volume_group;
  if (key == "thin_pool") return pool.thin_pool;
  return pool.directory;
}

const Key* find_key(const std::string& path) {
  const auto* found =
      std::find_if(kKeys.begin(), kKeys.end(), [&](const Key& key) { return path == key.path; });
  return found == kKeys.end() ? nullptr : found;
}

// "store.kind" as a place in the document.
ordered_json::json_pointer pointer(const std::string& path) {
  std::string text = "/" + path;
  std::replace(text.begin(), text.end(), '.', '/');
  return ordered_json::json_pointer(text);
}

// `where` is the file or the flag, to be found at a glance: "/etc/plexvol/plexvold.json:
// store.kind".
[[noreturn]] void fail(const std::string& where, const std::string& what) {
  throw Error(ErrorCode::InvalidArgument, fmt::format("{}: {}", where, what));
}

std::string to_string(const ordered_json& value, const std::string& where) {
  if (!value.is_string()) fail(where, "must be a string, not " + value.dump());
  return value.get<std::string>();
}

unsigned to_number(const ordered_json& value, const std::string& where) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > UINT_MAX) {
    fail(where, "must be a number, not " + value.dump());
  }
  return value.get<unsigned>();
}

const ordered_json& to_list(const ordered_json& value, const std::string& where) {
  if (!value.is_array()) fail(where, "must be a list, not " + value.dump());
  return value;
}

reconcile::PoolSettings to_pool(const ordered_json& value, const std::string& where) {
  if (!value.is_object()) fail(where, "each entry must be an object, not " + value.dump());
  reconcile::PoolSettings pool;
  for (const auto& [key, field] : value.items()) {
    const std::string place = std::string(where).append(".").append(key);
    if (key == kMaxPromised) {
      pool.max_promised_percent = to_number(field, place);
      continue;
    }
    if (std::find(kPoolKeys.begin(), kPoolKeys.end(), key) == kPoolKeys.end()) {
      fail(place, "unknown key of a pool");
    }
    pool_field(pool, key) = to_string(field, place);
  }
  return pool;
}

void set(const Target& target, const ordered_json& value, const std::string& where) {
  if (auto* const* text = std::get_if<std::string*>(&target)) {
    **text = to_string(value, where);
  } else if (auto* const* number = std::get_if<unsigned*>(&target)) {
    **number = to_number(value, where);
  } else if (auto* const* texts = std::get_if<std::vector<std::string>*>(&target)) {
    (*texts)->clear();
    for (const auto& item : to_list(value, where)) (*texts)->push_back(to_string(item, where));
  } else if (auto* const* pools = std::get_if<Pools*>(&target)) {
    (*pools)->clear();
    for (const auto& item : to_list(value, where)) (*pools)->push_back(to_pool(item, where));
  }
}

ordered_json get(const Target& target) {
  if (auto* const* text = std::get_if<std::string*>(&target)) return **text;
  if (auto* const* number = std::get_if<unsigned*>(&target)) return **number;
  if (auto* const* texts = std::get_if<std::vector<std::string>*>(&target)) return **texts;
  ordered_json list = ordered_json::array();
  for (reconcile::PoolSettings& pool : *std::get<Pools*>(target)) {
    ordered_json item;
    for (const char* key : kPoolKeys) {
      if (!pool_field(pool, key).empty()) item[key] = pool_field(pool, key);
    }
    if (pool.max_promised_percent != 0) item[kMaxPromised] = pool.max_promised_percent;
    list.push_back(item);
  }
  return list;
}

// Collects the configuration, and remembers where each key came from.
class Reader {
 public:
  void read_file(const std::string& file);
  void read_flag(const Key& key, const std::vector<std::string>& values);
  Config finish();

 private:
  void read_object(const ordered_json& object, const std::string& prefix, const std::string& file);
  std::string where(const std::string& path) const;

  Config config_;
  std::map<std::string, std::string> origins_;
};

void Reader::read_file(const std::string& file) {
  std::ifstream stream(file);
  if (!stream) {
    fail(file, fmt::format("cannot be read ({}); create it, name another with --config, or use "
                           "--without-config to start with flags alone",
                           base::error_text(errno)));
  }
  ordered_json document;
  try {
    document = ordered_json::parse(stream);
  } catch (const ordered_json::exception& error) {
    fail(file, fmt::format("is not valid JSON: {}", error.what()));
  }
  if (!document.is_object()) fail(file, "must be one JSON object");
  read_object(document, "", file);
}

void Reader::read_object(const ordered_json& object, const std::string& prefix,
                         const std::string& file) {
  for (const auto& [name, value] : object.items()) {
    const std::string path = prefix + name;
    const std::string place = std::string(file).append(": ").append(path);
    const Key* key = find_key(path);
    if (key != nullptr) {
      origins_[path] = place;
      set(key->target(config_), value, place);
    } else if (value.is_object() && (path == "store" || path == "drbd")) {
      read_object(value, path + ".", file);
    } else {
      fail(place, "unknown key; plexvold --help lists all keys");
    }
  }
}

unsigned long number_from_flag(const std::string& text, const std::string& flag) {
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || text.size() > 9) fail(flag, fmt::format("must be a number, not \"{}\"", text));
  return std::stoul(text);
}

// "name=fast,type=lvm,volume_group=vg0"
ordered_json pool_from_flag(const std::string& text, const std::string& flag) {
  ordered_json pool = ordered_json::object();
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const auto equals = part.find('=');
    if (equals == std::string::npos)
      fail(flag, fmt::format("\"{}\" is not of the form key=value", part));
    const std::string key = part.substr(0, equals);
    const std::string value = part.substr(equals + 1);
    if (key == kMaxPromised) {
      pool[key] = number_from_flag(value, flag);
    } else {
      pool[key] = value;
    }
  }
  return pool;
}

void Reader::read_flag(const Key& key, const std::vector<std::string>& values) {
  const std::string flag = key.flag;
  origins_[key.path] = flag;
  const Target target = key.target(config_);
  if (std::holds_alternative<std::vector<std::string>*>(target)) return set(target, values, flag);
  if (std::holds_alternative<Pools*>(target)) {
    ordered_json pools = ordered_json::array();
    for (const std::string& value : values) pools.push_back(pool_from_flag(value, flag));
    return set(target, pools, flag);
  }
  if (values.size() != 1) fail(flag, "is given more than once");
  if (std::holds_alternative<std::string*>(target)) return set(target, values.front(), flag);
  set(target, number_from_flag(values.front(), flag), flag);
}

std::string Reader::where(const std::string& path) const {
  const auto found = origins_.find(path);
  return found == origins_.end() ? path + " (by default)" : found->second;
}

Config Reader::finish() {
  fill_in(config_);
  try {
    check(config_);
  } catch (const BadValue& bad) {
    fail(where(bad.key()), bad.what());
  }
  return config_;
}

// All that lack, in one line.
void require_files(const Config& config, const std::string& file) {
  std::string text;
  for (const std::string& problem : unreadable_files(config)) {
    text += (text.empty() ? "" : "; ") + problem;
  }
  if (!text.empty()) fail(file, text);
}

std::string describe(const Key& key) {
  Config defaults;
  const ordered_json value = get(key.target(defaults));
  if (value.is_number() || (value.is_string() && !value.get<std::string>().empty())) {
    return fmt::format("{} [{}]", key.help,
                       value.is_string() ? value.get<std::string>() : value.dump());
  }
  return key.help;
}

}  // namespace

std::string to_json(const Config& config) {
  Config copy = config;
  ordered_json document;
  for (const Key& key : kKeys) document[pointer(key.path)] = get(key.target(copy));
  return document.dump(2);
}

CommandLine read_command_line(const std::vector<std::string>& arguments) {
  CLI::App app("plexvold: the agent that makes this node's volumes match the store", "plexvold");
  std::string file = kDefaultConfigFile;
  bool check_only = false;
  auto* config_flag =
      app.add_option("--config", file, "the configuration file")->capture_default_str();
  bool without_config = false;
  app.add_flag("--without-config", without_config,
               "read no configuration file; settings without a flag keep their defaults")
      ->excludes(config_flag);
  app.add_flag("--check-config", check_only, "print the effective configuration, and exit");
  bool put_helper_back = false;
  app.add_flag("--put-helper-back", put_helper_back,
               "restore DRBD's previous usermode helper and exit (for uninstall)");
  bool doctor = false;
  app.add_flag(
      "--doctor", doctor,
      "check everything that the agent needs on this node; exit with 1 if something is missing");
  app.set_version_flag("--version", std::string("plexvold ") + PLEXVOL_VERSION);
  std::map<const Key*, std::vector<std::string>> flags;
  for (const Key& key : kKeys) {
    app.add_option(key.flag, flags[&key], describe(key))->allow_extra_args(false)->type_name("");
  }
  try {
    // CLI11 takes the arguments from the back.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return {.config = {}, .answer = app.help()};
  } catch (const CLI::CallForVersion& version) {
    return {.config = {}, .answer = std::string(version.what()) + "\n"};
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("{}; plexvold --help lists all flags", error.what()));
  }
  Reader reader;
  // What is to be put back when all else is gone needs no more than the defaults.
  const bool may_be_absent = put_helper_back && config_flag->count() == 0;
  if (!without_config && !(may_be_absent && access(file.c_str(), F_OK) != 0))
    reader.read_file(file);
  for (const Key& key : kKeys) {
    if (!flags[&key].empty()) reader.read_flag(key, flags[&key]);
  }
  CommandLine result{.config = reader.finish(),
                     .put_helper_back = put_helper_back,
                     .doctor = doctor,
                     .answer = ""};
  if (check_only) {
    require_files(result.config, file);
    result.answer = to_json(result.config) + "\n";
  }
  return result;
}

}  // namespace plexvol
