// Whole passes over a mirrored volume while one of their commands fails: whichever it is, and
// whether it fails before or after its work, the passes after it end where they would have ended.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "agent/filepool/filepool.h"
#include "agent/model/codec.h"
#include "agent/process/boost_runner.h"
#include "agent/reconcile/observe.h"
#include "agent/store/sets.h"
#include "agent/store/taken.h"
#include "tests/support/failing_runner.h"
#include "tests/support/loop_device.h"
#include "tests/unit/reconcile/plan_cases.h"
#include "tests/unit/reconcile/reconciler_node.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)
using support::FailingRunner;
using support::FailsWhen;
namespace keys = store::keys;

namespace {

// drbdmeta locks it: no other test of this machine uses it.
constexpr unsigned kMinor = 1731;

constexpr const char* kDevice = "/dev/drbd1731";

// A kernel with DRBD, and a peer that is always there. All other tools are the host's own.
class Kernel : public process::Runner {
 public:
  Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  ~Kernel() override { take_down(); }

  process::Output run(const process::Command& command) override {
    const std::string& tool = command.argv.at(0);
    if (tool == "/usr/sbin/drbdadm") return adjust();
    if (tool != "/usr/sbin/drbdsetup") return tools_.run(command);
    const std::string& verb = command.argv.at(1);
    process::Output output;
    if (verb == "events2") output.out = events();
    if (verb == "show") output.out = show();
    if (verb == "down") take_down();
    if (verb == "disconnect") connection = "StandAlone";
    if (verb == "primary") role = "Primary";
    if (verb == "secondary") role = "Secondary";
    return output;
  }
  void take_down() {
    connection.clear();
    role = "Secondary";
    ::unlink(kDevice);
  }
  std::filesystem::path images;
  std::string connection;  // "": the resource is not up
  std::string role = "Secondary";
  bool stays_down = false;  // whatever drbdadm is told

 private:
  process::Output adjust() {
    if (stays_down) return {};
    if (connection.empty()) show_device();
    connection = "Connected";
    return {};
  }
  // What it writes goes through to the backing device at once.
  void show_device() {
    struct stat backing {};
    const auto image = filepool::FilePool(tools_, images).find_image("v");
    REQUIRE(image);
    REQUIRE(::stat(image->device.c_str(), &backing) == 0);
    REQUIRE(::mknod(kDevice, S_IFBLK | 0600U, backing.st_rdev) == 0);
  }
  std::string events() const {
    if (connection.empty()) return "exists -\n";
    const bool connected = connection == "Connected";
    const std::string minor = std::to_string(kMinor);
    return "exists resource name:v role:" + role +
           " suspended:no\n"
           "exists connection name:v connection:" +
           connection + " role:" + (connected ? "Secondary" : "Unknown") +
           "\nexists device name:v volume:0 minor:" + minor +
           " disk:UpToDate\n"
           "exists peer-device name:v volume:0 replication:" +
           (connected ? "Established" : "Off") +
           " peer-disk:" + (connected ? "UpToDate" : "DUnknown") +
           " resync-suspended:no\n"
           "exists -\n";
  }
  static std::string show() {
    return "resource v {\n _this_host {\n address ipv4 10.0.0.1:7731;\n }\n"
           " _remote_host {\n address ipv4 10.0.0.2:7731;\n }\n}\n";
  }

  process::BoostRunner tools_;
};

struct ToolsAndKernel : process::Runner {
  process::Output run(const process::Command& command) override {
    ++commands;
    return failing ? failing->run(command) : kernel.run(command);
  }
  Kernel kernel;
  std::optional<FailingRunner> failing;
  std::size_t commands = 0;
};

// n1, which is to have a copy beside that on n2.
struct FailingNode : ReconcilerNode<ToolsAndKernel> {
  FailingNode() {
    std::ofstream(directory.path() / "version") << "8.4.11\n";
    std::filesystem::create_directories(directory.path() / "drbd");
    runner.kernel.images = directory.path() / "images";
    std::filesystem::create_directories(runner.kernel.images);
    pools["p"] = make_pool({.name = "p",
                            .type = "file",
                            .volume_group = "",
                            .thin_pool = "",
                            .directory = runner.kernel.images},
                           runner);
    Wanted wanted = cases::mirrored();
    wanted.volume.minor = kMinor;
    wanted.volume.port = 7731;
    wanted.volume.size_bytes = 4U << 20U;
    wanted.volume.secret = "secret";
    wanted.volume.current_uuid = "1234567890ABCDE8";
    wanted.volume.format = model::Format::Never;
    wanted.volume.replicas[0].made = false;
    store.commit(store::Change()
                     .put(keys::volume("v"), model::to_json(wanted.volume))
                     .put(keys::current("v"), model::to_json(*wanted.current))
                     .put(keys::alive("n1"), "session")
                     .put(keys::alive("n2"), "session of n2")
                     .wake(wanted.volume));
    put_node("n1", "10.0.0.1");
    put_node("n2", "10.0.0.2");
  }
  FailingNode(const FailingNode&) = delete;
  FailingNode& operator=(const FailingNode&) = delete;
  ~FailingNode() {
    runner.failing.reset();
    runner.kernel.take_down();
    // Others of this machine look at all loop devices, and so have them open for a moment.
    for (int attempt = 0; attempt < 5; ++attempt) {
      try {
        pools["p"]->remove({"v", "v.meta"});
        return;
      } catch (const Error& error) {
        MESSAGE("a loop device is left over: " << error.what());
      }
    }
  }

  void put_node(const std::string& name, const std::string& address) {
    model::Node node;
    node.name = name;
    node.address = address;
    node.version = "1";
    node.drbd_version = "8.4.11";
    node.kernel = "6.1";
    node.pools = {{"p", "file", 1U << 30U, 1U << 30U, ""}};
    store.put_node(node);
  }
  // Loop devices and DRBD's resource are gone, and files are not.
  void reboot() {
    runner.kernel.take_down();
    filepool::FilePool images(runner, runner.kernel.images);
    images.deactivate("v");
    images.deactivate("v.meta");
  }
  // Not more than a few: nothing but a failure keeps it from what is wanted.
  void settle() {
    for (int pass = 0; pass < 12; ++pass) {
      if (reconciler.reconcile("v") == Outcome::Settled && !n2_puts_back()) return;
    }
    const auto status = store.find_status("n1", "v");
    FAIL("it did not settle: " << (status ? status->error : ""));
  }
  // What n2's agent does when it sees the two whole.
  bool n2_puts_back() {
    const auto current = store.find_current("v");
    if (!current || current->value.nodes.contains("n1")) return false;
    if (runner.kernel.connection != "Connected") return false;
    return arbiter.put_back("v", current->revision, "n1");
  }
  std::string call;  // that wants to mount it

  void attach() {
    const model::Volume volume = store.find_volume("v")->value;
    store.commit(store::Change()
                     .put(keys::attachment("v"),
                          model::to_json(*cases::attached(cases::mirrored()).attachment))
                     .wake(volume));
  }
  void detach() {
    const model::Volume volume = store.find_volume("v")->value;
    store.commit(store::Change().remove(keys::attachment("v")).wake(volume));
  }
  // n2's copy is as large already.
  void grow() {
    model::Volume volume = store.find_volume("v")->value;
    volume.size_bytes *= 2;
    volume.filesystem_grows = true;
    model::Status of_peer;
    of_peer.device_bytes = volume.size_bytes;
    store.commit(store::Change()
                     .put(keys::volume("v"), model::to_json(volume))
                     .put(keys::status("n2", "v"), model::to_json(of_peer))
                     .wake(volume));
  }
  // n1 has the only copy, and no mirror.
  void be_single() {
    model::Volume volume = store.find_volume("v")->value;
    volume.minor = 0;
    volume.port = 0;
    volume.replicas = {{.node = "n1"}};
    model::Current current = store.find_current("v")->value;
    current.nodes = {"n1"};
    store.commit(store::Change()
                     .put(keys::volume("v"), model::to_json(volume))
                     .put(keys::current("v"), model::to_json(current))
                     .wake(volume));
    // So that the mirror has the minor of this test.
    store::Taken taken;
    for (unsigned minor = model::kFirstMinor; minor < kMinor; ++minor) taken.minors.insert(minor);
    store::put_taken(store, "n1", taken);
    store.commit(
        store::Change().put(keys::next_slot(), std::to_string(kMinor - model::kFirstMinor)));
    settle();
  }
  void change_copies(const std::function<void(model::Volume&)>& change) {
    model::Volume volume = store.find_volume("v")->value;
    change(volume);
    store.commit(store::Change().put(keys::volume("v"), model::to_json(volume)).wake(volume));
  }
  // n2 has removed its copy.
  void lose_second_copy() {
    change_copies([](model::Volume& volume) {
      volume.copies_asked = 1;
      volume.replicas = {{.node = "n1", .made = true}};
    });
    model::Current current = store.find_current("v")->value;
    current.nodes = {"n1"};
    store::Change change;
    store::put_set("v", store::next_set(current), change);
    store.commit(change);
  }
  static bool has_ext4() {
    constexpr std::streamoff kMagic = 0x438;
    std::ifstream device(kDevice, std::ios::binary);
    std::string magic(2, '\0');
    device.seekg(kMagic);
    device.read(magic.data(), 2);
    return device && magic == "\x53\xEF";
  }
  // Where it ended; the epoch says how often the arbiter was asked, which does not matter.
  std::string describe() {
    auto volume = store.find_volume("v");
    if (volume) volume->value.current_uuid.clear();  // a mirror that it gains has one by chance
    std::string text = volume ? model::to_json(volume->value) : "no volume";
    if (const auto current = store.find_current("v")) {
      for (const std::string& node : current->value.nodes) text += " " + node;
    }
    text += " connection:" + runner.kernel.connection + " role:" + runner.kernel.role;
    if (const auto attachment = store.find_attachment("v")) {
      text += " attached to " + attachment->value.node;
    }
    if (const auto status = store.find_status("n1", "v"); status && status->ready) text += " ready";
    if (has_ext4()) text += " ext4";
    if (!call.empty()) {
      calls.wait(call, std::chrono::steady_clock::now());
      text += " mounted";
    }
    std::set<std::string> files;
    for (const char* folder : {"images", "drbd"}) {
      for (const auto& entry : std::filesystem::directory_iterator(directory.path() / folder)) {
        files.insert(entry.path().filename().string());
      }
    }
    for (const std::string& file : files) text += " " + file;
    return text + " of " + std::to_string(device_size_bytes(kDevice)) + " bytes";
  }
};

using Step = std::function<void(FailingNode&)>;

// One life: prepared, then wanted otherwise, while the k-th command from then on fails. False: there
// were fewer.
bool ends_as_expected(const Step& prepare, const Step& want, std::size_t k, FailsWhen when,
                      const std::string& expected) {
  CAPTURE(k);
  CAPTURE(when == FailsWhen::After);
  FailingNode node;
  prepare(node);
  want(node);
  node.runner.failing.emplace(node.runner.kernel, k, when);
  node.settle();
  node.settle();  // the patrol comes by: a volume that has not grown is usable, so nothing else does
  CHECK(node.describe() == expected);
  return node.runner.failing->count() >= k;
}

void check_every_failure(const Step& prepare, const Step& want, std::size_t least_commands) {
  std::string expected;
  {
    FailingNode whole;
    prepare(whole);
    want(whole);
    const std::size_t before = whole.runner.commands;
    whole.settle();
    CHECK(whole.runner.commands - before >= least_commands);
    expected = whole.describe();
  }
  // Each command in one of the two ways, in turns, unless there is time for both.
  const bool is_long = std::getenv("PLEXVOL_LONG") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  const std::size_t step = is_long ? 1 : 2;
  for (const FailsWhen when : {FailsWhen::Before, FailsWhen::After}) {
    std::size_t k = when == FailsWhen::Before ? step : 1;
    while (ends_as_expected(prepare, want, k, when, expected)) REQUIRE((k += step) < 60);
  }
}

void want_nothing_more(FailingNode& /*node*/) {}

void make_and_attach(FailingNode& node) {
  node.settle();
  node.attach();
  node.settle();
}

}  // namespace

TEST_CASE("passes: a mirrored volume is made, whichever command fails") {
  if (!support::can_use_loop_devices()) return;
  check_every_failure([](FailingNode& /*node*/) {}, want_nothing_more, 10);
}

TEST_CASE("passes: a mirrored volume is promoted and formatted, whichever command fails") {
  if (!support::can_use_loop_devices()) return;
  check_every_failure([](FailingNode& node) { node.settle(); },
                      [](FailingNode& node) { node.attach(); }, 6);
}

TEST_CASE("passes: a volume gains a mirror, whichever command fails") {
  if (!support::can_use_loop_devices()) return;
  check_every_failure([](FailingNode& node) { node.be_single(); },
                      [](FailingNode& node) {
                        node.change_copies([](model::Volume& volume) { volume.copies_asked = 2; });
                      },
                      6);
}

TEST_CASE("passes: what is left of an attempt to gain a mirror is made anew") {
  if (!support::can_use_loop_devices()) return;
  FailingNode node;
  node.be_single();
  node.pools["p"]->create("v.meta", 1U << 20U, node.store.find_volume("v")->value.id);
  node.change_copies([](model::Volume& volume) { volume.copies_asked = 2; });
  node.settle();
  const model::Volume volume = node.store.find_volume("v")->value;
  CHECK(volume.minor == kMinor);
  CHECK_FALSE(volume.replicas[0].gains_metadata);
  const auto metadata = node.pools["p"]->find({"v.meta"}, volume.id);
  CHECK(device_size_bytes(metadata.at("v.meta").device) > 1U << 20U);
}

TEST_CASE("passes: no mirror is gained beside an agent that would drop what is recorded of it") {
  if (!support::can_use_loop_devices()) return;
  FailingNode node;
  node.be_single();
  model::Node former = *node.store.find_node("n2");
  former.kernel.clear();
  node.store.put_node(former);
  node.change_copies([](model::Volume& volume) { volume.copies_asked = 2; });
  node.settle();
  CHECK(node.store.find_volume("v")->value.replicas.size() == 1);
  CHECK(node.store.find_status("n1", "v")->error.find("the agent on n2 has version 1") !=
        std::string::npos);
}

TEST_CASE("passes: a volume loses its mirror, whichever command fails") {
  if (!support::can_use_loop_devices()) return;
  check_every_failure([](FailingNode& node) { node.settle(); },
                      [](FailingNode& node) { node.lose_second_copy(); }, 3);
}

TEST_CASE("passes: a mirrored volume is let go, whichever command fails") {
  if (!support::can_use_loop_devices()) return;
  check_every_failure(
      make_and_attach, [](FailingNode& node) { node.detach(); }, 4);
}

TEST_CASE("passes: a mirrored volume is checked for its mount, whichever command fails") {
  if (!support::can_use_loop_devices()) return;
  check_every_failure(
      make_and_attach, [](FailingNode& node) { node.call = node.calls.begin("v"); }, 4);
}

TEST_CASE("passes: a mirrored volume takes its peer's new address, whichever command fails") {
  if (!support::can_use_loop_devices()) return;
  check_every_failure([](FailingNode& node) { node.settle(); },
                      [](FailingNode& node) { node.put_node("n2", "10.0.0.22"); }, 4);
}

TEST_CASE("passes: a mirrored volume comes back after a boot, whichever command fails") {
  if (!support::can_use_loop_devices()) return;
  check_every_failure([](FailingNode& node) { node.settle(); },
                      [](FailingNode& node) { node.reboot(); }, 4);
}

TEST_CASE("passes: a mirrored volume is made larger, whichever command fails") {
  if (!support::can_use_loop_devices()) return;
  check_every_failure(
      make_and_attach, [](FailingNode& node) { node.grow(); }, 3);
}

TEST_CASE("passes: a file system that was made before its device has grown grows later") {
  if (!support::can_use_loop_devices()) return;
  FailingNode node;
  node.settle();
  node.grow();
  node.attach();
  node.settle();
  const model::Volume volume = node.store.find_volume("v")->value;
  CHECK(volume.format == model::Format::Done);
  CHECK(volume.filesystem_grows);
}

TEST_CASE("passes: a mirrored volume is removed, whichever command fails") {
  if (!support::can_use_loop_devices()) return;
  check_every_failure(
      [](FailingNode& node) { node.settle(); },
      [](FailingNode& node) {
        model::Volume volume = node.store.find_volume("v")->value;
        volume.deleting = true;
        node.store.commit(
            store::Change().put(keys::volume("v"), model::to_json(volume)).wake(volume));
      },
      3);
}

TEST_CASE("passes: what has no effect is told, and tried again") {
  if (!support::can_use_loop_devices()) return;
  FailingNode node;
  node.runner.kernel.stays_down = true;
  for (int pass = 0; pass < 2; ++pass) {
    CHECK(node.reconciler.reconcile("v") == Outcome::TrySoon);
    const std::string error = node.store.find_status("n1", "v")->error;
    CHECK(error.find("volume v: not in the wanted state after 12 rounds") == 0);
    CHECK(error.find("Adjust") != std::string::npos);
  }
  node.runner.kernel.stays_down = false;
  node.settle();
  CHECK(node.store.find_status("n1", "v")->error.empty());
}
