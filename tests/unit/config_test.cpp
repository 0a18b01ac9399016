#include "agent/config.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>

#include "tests/support/temporary_directory.h"

namespace plexvol {
namespace {

using Arguments = std::vector<std::string>;

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) { std::ofstream(path()) << text; }
  std::string path() const { return directory_.path() / "plexvold.json"; }

  Config read(Arguments flags = {}) const {
    flags.insert(flags.begin(), {"--config", path()});
    return read_command_line(flags).config;
  }

 private:
  support::TemporaryDirectory directory_;
};

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::InvalidArgument);
    return error.what();
  }
  return "(accepted)";
}

std::string refusal_of_file(const std::string& text) {
  const ConfigFile file(text);
  std::string message = refusal([&] { file.read(); });
  CHECK(message.starts_with(file.path() + ": "));
  return message.substr(std::min(message.size(), file.path().size() + 2));
}

std::string refusal_of_flags(Arguments flags) {
  const ConfigFile file("{}");
  return refusal([&] { file.read(std::move(flags)); });
}

}  // namespace

TEST_CASE("config: an empty file is a complete configuration") {
  const Config config = ConfigFile("{}").read();
  CHECK_FALSE(config.node_name.empty());
  CHECK(config.pools.empty());
  CHECK(config.sockets == std::vector<std::string>{"/run/plexvol/plexvold.sock"});
  CHECK(config.store.kind == "embedded");
  CHECK(config.store.directory == "/var/lib/plexvol/store");
  CHECK(config.drbd.config_directory == "/var/lib/plexvol/drbd.d");
  CHECK(config.store.lease_seconds == 8);
  CHECK(config.workers == 4);
  CHECK(config.log_level == "info");
}

TEST_CASE("config: the sockets of container runtimes can be named [D1]") {
  CHECK(ConfigFile("{}").read().runtime_sockets.front() == "/run/containerd/containerd.sock");
  const Config config = ConfigFile(R"({"runtime_sockets": ["/run/a.sock"]})").read();
  CHECK(config.runtime_sockets == std::vector<std::string>{"/run/a.sock"});
  CHECK(refusal_of_file(R"({"runtime_sockets": []})") == "runtime_sockets: at least one is needed");
  CHECK(refusal_of_file(R"({"runtime_sockets": ["a"]})") ==
        R"(runtime_sockets: "a" must begin with /)");
}

TEST_CASE("config: the rate of resyncs can be set, and follows the link otherwise [O19]") {
  CHECK(ConfigFile(R"({"drbd": {"resync_rate_mib": 7}})").read().drbd.resync_rate_mib == 7);
  // Of an address that no interface has nothing is known.
  const Config config = ConfigFile(R"({"address": "192.0.2.1"})").read();
  CHECK(config.drbd.resync_rate_mib == 100);
  CHECK(refusal_of_file(R"({"drbd": {"resync_rate_mib": 4097}})") ==
        "drbd.resync_rate_mib: must be from 0 to 4096, not 4097");
}

TEST_CASE("config: how long a pod must have ended before its mount is taken down [K4]") {
  CHECK(ConfigFile("{}").read().ended_pod_seconds == 300);
  CHECK(ConfigFile(R"({"ended_pod_seconds": 60})").read().ended_pod_seconds == 60);
  CHECK(refusal_of_file(R"({"ended_pod_seconds": 0})") ==
        "ended_pod_seconds: must be from 1 to 86400, not 0");
}

TEST_CASE("config: every kind of key is read from the file") {
  const Config config = ConfigFile(R"({
    "node_name": "n1", "address": "10.77.0.1", "workers": 8,
    "pools": [{"name": "fast", "type": "lvm-thin", "volume_group": "vg0", "thin_pool": "tp"},
              {"name": "try", "type": "file", "directory": "/srv/plexvol"}],
    "sockets": ["/run/a.sock", "/run/b.sock"],
    "store": {"kind": "etcd", "endpoints": ["https://e1:2379", "https://e2:2379"], "ca_file": "/ca"},
    "drbd": {"first_port": 8000}})")
                            .read();
  CHECK(config.node_name == "n1");
  CHECK(config.address == "10.77.0.1");
  CHECK(config.workers == 8);
  REQUIRE(config.pools.size() == 2);
  CHECK(config.pools[0].type == "lvm-thin");
  CHECK(config.pools[0].volume_group == "vg0");
  CHECK(config.pools[0].thin_pool == "tp");
  CHECK(config.pools[1].name == "try");
  CHECK(config.pools[1].directory == "/srv/plexvol");
  CHECK(config.sockets == std::vector<std::string>{"/run/a.sock", "/run/b.sock"});
  CHECK(config.store.endpoints == std::vector<std::string>{"https://e1:2379", "https://e2:2379"});
  CHECK(config.store.ca_file == "/ca");
  CHECK(config.drbd.first_port == 8000);
}

TEST_CASE("config: flags win over the file, and leave its other keys alone") {
  const ConfigFile file(R"({"node_name": "n1", "workers": 8, "sockets": ["/run/a.sock"],
    "store": {"lease_seconds": 30},
    "pools": [{"name": "fast", "type": "lvm", "volume_group": "vg0"}]})");
  const Config config =
      file.read({"--node-name", "n2", "--store-lease-seconds=20", "--socket", "/run/b.sock",
                 "--socket", "/run/c.sock", "--pool", "name=slow,type=lvm,volume_group=vg1"});
  CHECK(config.node_name == "n2");
  CHECK(config.workers == 8);
  CHECK(config.store.lease_seconds == 20);
  CHECK(config.sockets == std::vector<std::string>{"/run/b.sock", "/run/c.sock"});
  REQUIRE(config.pools.size() == 1);
  CHECK(config.pools[0].name == "slow");
  CHECK(config.pools[0].volume_group == "vg1");
}

TEST_CASE("config: folders follow the state directory unless they are named") {
  const ConfigFile file(R"({"state_directory": "/srv/state"})");
  CHECK(file.read().store.directory == "/srv/state/store");
  CHECK(file.read().drbd.config_directory == "/srv/state/drbd.d");
  CHECK(file.read({"--store-directory", "/elsewhere"}).store.directory == "/elsewhere");
}

TEST_CASE("config: what is wrong in the file is refused with the file and the key") {
  CHECK(refusal_of_file(R"({"nodename": "n1"})") ==
        "nodename: unknown key; plexvold --help lists all keys");
  CHECK(refusal_of_file(R"({"store": {"direcotry": "/x"}})") ==
        "store.direcotry: unknown key; plexvold --help lists all keys");
  CHECK(refusal_of_file(R"({"workers": {"count": 4}})") ==
        R"(workers: must be a number, not {"count":4})");
  CHECK(refusal_of_file(R"({"workers": "4"})") == R"(workers: must be a number, not "4")");
  CHECK(refusal_of_file(R"({"workers": -1})") == "workers: must be a number, not -1");
  CHECK(refusal_of_file(R"({"workers": 0})") == "workers: must be from 1 to 64, not 0");
  CHECK(refusal_of_file(R"({"node_name": 1})") == "node_name: must be a string, not 1");
  CHECK(refusal_of_file(R"({"sockets": "/a"})") == R"(sockets: must be a list, not "/a")");
  CHECK(refusal_of_file(R"({"sockets": []})") == "sockets: at least one is needed");
  CHECK(refusal_of_file(R"({"sockets": ["a"]})") == R"(sockets: "a" must begin with /)");
  CHECK(refusal_of_file(R"({"address": "n1.example"})") ==
        R"(address: "n1.example" is not an IP address)");
  CHECK(refusal_of_file(R"({"store": {"kind": "consul"}})") ==
        R"(store.kind: unknown kind "consul"; use embedded or etcd)");
  CHECK(refusal_of_file(R"({"log_level": "loud"})")
            .starts_with(R"(log_level: unknown level "loud")"));
  CHECK(refusal_of_file(R"({"drbd": {"first_port": 65000}})")
            .starts_with("drbd.first_port: must be from 1024 to "));
  CHECK(refusal_of_file("[]") == "must be one JSON object");
  CHECK(refusal_of_file("{\"node_name\": ").starts_with("is not valid JSON: "));
  CHECK(refusal_of_file(R"({"node_name": "UPPER case"})").starts_with("node_name: "));
  CHECK(refusal_of_file(R"({"drbd": {"helper": "/)" + std::string(80, 'x') + "\"}}")
            .starts_with("drbd.helper: the kernel accepts fewer than 80 characters"));
}

TEST_CASE("config: a store in etcd needs its parts") {
  const auto with = [](const std::string& more) {
    return refusal_of_file(R"({"store": {"kind": "etcd")" + more + "}}");
  };
  CHECK(with(R"(, "endpoints": "http://e1:2379")").starts_with("store.endpoints: must be a list"));
  CHECK(with(R"(, "endpoints": ["e1:2379"])") ==
        R"(store.endpoints: "e1:2379" must begin with http:// or https://)");
  CHECK(with(R"(, "endpoints": ["https://e1"], "key_file": "/key")") ==
        "store.key_file: needs store.certificate_file");
  CHECK(with(R"(, "endpoints": ["https://e1"], "user": "u")") ==
        "store.user: needs store.password_file");
  CHECK(with(R"(, "endpoints": ["https://e1"], "prefix": "p")").starts_with("store.prefix: "));
  CHECK(refusal([] { ConfigFile(R"({"store": {"kind": "etcd"}})").read(); }) ==
        "store.endpoints (by default): etcd needs at least one");
}

TEST_CASE("config: a pool has what its type needs, and nothing else") {
  const auto with = [](const std::string& pools) {
    return refusal_of_file(R"({"pools": [)" + pools + "]}");
  };
  CHECK(with(R"({"name": "a", "type": "lvm"})") ==
        "pools: pool a, of type lvm, needs a volume_group");
  CHECK(with(R"({"name": "a", "type": "lvm", "volume_group": "g", "thin_pool": "t"})") ==
        "pools: pool a, of type lvm, may not have a thin_pool");
  CHECK(with(R"({"name": "a", "type": "lvm-thin", "volume_group": "g"})") ==
        "pools: pool a, of type lvm-thin, needs a thin_pool");
  CHECK(with(R"({"name": "a", "type": "zfs"})") ==
        R"(pools: pool a: unknown type "zfs"; use lvm, lvm-thin or file)");
  CHECK(with(R"({"name": "a", "type": "file", "directory": "d"})") ==
        R"(pools: pool a: directory "d" must begin with /)");
  CHECK(with(R"({"name": "a", "type": "lvm", "vg": "g"})") == "pools.vg: unknown key of a pool");
  CHECK(with(R"({"name": "a", "type": "file", "directory": "/d"},
                {"name": "a", "type": "file", "directory": "/e"})") ==
        "pools: pool a is defined twice");
  CHECK(with(R"("a")").starts_with("pools: each entry must be an object"));
}

TEST_CASE("config: what is wrong with a flag is refused with the flag") {
  CHECK(refusal_of_flags({"--workers", "many"}) == R"(--workers: must be a number, not "many")");
  CHECK(refusal_of_flags({"--workers", "65"}) == "--workers: must be from 1 to 64, not 65");
  CHECK(refusal_of_flags({"--workers", "1", "--workers", "2"}) ==
        "--workers: is given more than once");
  CHECK(refusal_of_flags({"--pool", "fast"}) == R"(--pool: "fast" is not of the form key=value)");
  CHECK(refusal_of_flags({"--pool", "name=a,typ=lvm"}) == "--pool.typ: unknown key of a pool");
  CHECK(refusal_of_flags({"--store-kind", "etcd", "--store-endpoint", "e1:1"})
            .starts_with("--store-endpoint: "));
  CHECK(refusal_of_flags({"--nonsense"}).find("--nonsense") != std::string::npos);
  CHECK(refusal_of_flags({"extra"}).find("extra") != std::string::npos);
}

TEST_CASE("config: a file that was named must be there") {
  CHECK(refusal([] {
          read_command_line({"--config", "/nowhere/plexvold.json"});
        }).starts_with("/nowhere/plexvold.json: cannot be read (No such file or directory); "));
}

TEST_CASE("config: the usual file must be there too, unless a flag says that none is wanted [O9]") {
  if (access(kDefaultConfigFile, F_OK) == 0) {
    MESSAGE("left out: this machine has a " << kDefaultConfigFile);
  } else {
    CHECK(refusal([] { read_command_line({}); }).find("--without-config") != std::string::npos);
    CHECK(refusal([] { read_command_line({"--check-config"}); }) != "(accepted)");
    CHECK(refusal([] { read_command_line({"--workers", "3"}); }) != "(accepted)");
    // When all else was removed already.
    CHECK(read_command_line({"--put-helper-back"}).put_helper_back);
  }
  CHECK(read_command_line({"--without-config", "--workers", "3"}).config.workers == 3);
  CHECK(refusal([] {
          read_command_line({"--without-config", "--config", "/x"});
        }).find("--config") != std::string::npos);
}

TEST_CASE("config: how much a pool may promise, where it can promise more than it has [O10]") {
  const Config config = ConfigFile(R"({"pools": [
      {"name": "t", "type": "lvm-thin", "volume_group": "v", "thin_pool": "p",
       "max_promised_percent": 150},
      {"name": "f", "type": "file", "directory": "/d"}]})")
                            .read();
  CHECK(config.pools[0].max_promised_percent == 150);
  CHECK(config.pools[1].max_promised_percent == 0);
  CHECK(to_json(config).find("\"max_promised_percent\": 150") != std::string::npos);
  const Config flags =
      ConfigFile("{}").read({"--pool", "name=f,type=file,directory=/d,max_promised_percent=80"});
  CHECK(flags.pools[0].max_promised_percent == 80);
  for (const char* pool :
       {R"({"name": "a", "type": "lvm", "volume_group": "v", "max_promised_percent": 100})",
        R"({"name": "a", "type": "file", "directory": "/d", "max_promised_percent": "150"})",
        R"({"name": "a", "type": "file", "directory": "/d", "max_promised_percent": -1})",
        R"({"name": "a", "type": "file", "directory": "/d", "max_promised_percent": 100001})"}) {
    CAPTURE(pool);
    CHECK(
        refusal_of_file(std::string(R"({"pools": [)") + pool + "]}").find("max_promised_percent") !=
        std::string::npos);
  }
  CHECK(refusal_of_flags({"--pool", "name=a,type=file,directory=/d,max_promised_percent=x"}) ==
        "--pool: must be a number, not \"x\"");
}

TEST_CASE("config: --check-config prints what would be used, and that is a configuration again") {
  const ConfigFile file(R"({"node_name": "n1", "address": "10.0.0.1", "drbd": {"first_port": 9000},
    "pools": [{"name": "fast", "type": "lvm", "volume_group": "vg0"}]})");
  const std::string printed =
      read_command_line({"--config", file.path(), "--check-config", "--workers", "3"}).answer;
  const Config again = ConfigFile(printed).read();
  CHECK(again.node_name == "n1");
  CHECK(again.workers == 3);
  CHECK(again.drbd.first_port == 9000);
  REQUIRE(again.pools.size() == 1);
  CHECK(again.pools[0].volume_group == "vg0");
  CHECK(to_json(again) + "\n" == printed);
}

TEST_CASE("config: --check-config names all files that lack, and the sample's are such [O11]") {
  const ConfigFile there("");
  const ConfigFile file(R"({"store": {"kind": "etcd", "endpoints": ["https://10.0.0.1:2379"],
    "ca_file": "/nowhere/ca.crt", "certificate_file": ")" +
                        there.path() + R"(", "key_file": "/dev/null"}})");
  const std::vector<std::string> arguments{"--config", file.path()};
  CHECK(read_command_line(arguments).config.store.ca_file == "/nowhere/ca.crt");
  const auto check = [&](const std::string& path) {
    return refusal([&] { read_command_line({"--config", path, "--check-config"}); });
  };
  const std::string said = check(file.path());
  CHECK(said.find("store.ca_file: cannot read /nowhere/ca.crt: No such file") != std::string::npos);
  CHECK(said.find("store.key_file: cannot read /dev/null: it is not a regular file") !=
        std::string::npos);
  CHECK(said.find("certificate_file") == std::string::npos);
  // As it is installed: with the plugin directory in its place.
  std::ifstream stream("installer/plexvold.json");
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  for (std::size_t at = text.find("@PLUGINS@"); at != std::string::npos;
       at = text.find("@PLUGINS@")) {
    text.replace(at, 9, "/plugins");
  }
  const std::string sample = check(ConfigFile(text).path());
  for (const char* name : {"etcd-ca.crt", "etcd-client.crt", "etcd-client.key"}) {
    CHECK_MESSAGE(sample.find(name) != std::string::npos, sample);
  }
}

TEST_CASE("config: --help names every key of the file as a flag") {
  const std::string help = read_command_line({"--help"}).answer;
  for (const char* flag : {"--config", "--check-config", "--node-name", "--pool", "--store-kind",
                           "--store-endpoint", "--drbd-first-port", "--log-level", "--socket"}) {
    CHECK_MESSAGE(help.find(flag) != std::string::npos, flag);
  }
  CHECK(help.find("[7000]") != std::string::npos);
}

}  // namespace plexvol
