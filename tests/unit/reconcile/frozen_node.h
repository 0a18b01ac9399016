// A node whose only volume, v, is primary here, frozen, and apart from n2.
#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "agent/model/codec.h"
#include "tests/unit/reconcile/plan_cases.h"
#include "tests/unit/reconcile/reconciler_node.h"

namespace plexvol::reconcile {

// As etcd after NOSPACE: it answers what it has, and takes nothing.
class FullStore : public support::CountingStore {
 public:
  using CountingStore::CountingStore;
  bool commit(const store::Transaction& transaction) override {
    if (writes_left == 0) throw Error(ErrorCode::Unavailable, "etcd: database space exceeded");
    --writes_left;
    return CountingStore::commit(transaction);
  }
  int writes_left = 1000;
};

// A frozen primary, and what is done to it.
class FrozenKernel : public process::Runner {
 public:
  process::Output run(const process::Command& command) override {
    const std::string verb = command.argv.back() == "all" ? "adjust" : command.argv.at(1);
    process::Output output;
    if (verb == "events2") {
      output.out = "exists resource name:v role:Primary suspended:" + suspended +
                   "\nexists connection name:v connection:" + connection +
                   " role:Unknown\nexists device name:v volume:0 minor:1000 disk:UpToDate\n"
                   "exists peer-device name:v volume:0 replication:Off peer-disk:DUnknown "
                   "resync-suspended:no\nexists -\n";
      return output;
    }
    if (verb == "show") {
      output.out =
          "resource v {\n _this_host {\n address ipv4 10.0.0.1:7000;\n }\n _remote_host {\n "
          "address ipv4 10.0.0.2:7000;\n }\n}\n";
      return output;
    }
    done += (done.empty() ? "" : ", ") + verb;
    if (verb == "resume-io") on_thaw();
    if (verb == "disconnect") connection = "StandAlone";
    if (verb == "adjust") connection = "Connecting";
    if (verb == "resume-io") suspended = "no";
    return output;
  }
  std::string suspended = "fencing";
  std::string connection = "Connecting";
  std::string done;
  std::function<void()> on_thaw = [] {};
};

struct FrozenNode : ReconcilerNode<FrozenKernel, FullStore> {
  FrozenNode() : ReconcilerNode(std::chrono::seconds(0)) {
    std::ofstream(directory.path() / "version") << "8.4.11\n";
    std::filesystem::create_directories(directory.path() / "drbd");
    std::ofstream(directory.path() / "drbd" / "v.res")
        << "    shared-secret \"secret\";\n  device minor 1000;\n";
    Wanted wanted = cases::attached(cases::mirrored());
    wanted.volume.secret = "secret";
    store.commit(store::Change()
                     .put(store::keys::volume("v"), model::to_json(wanted.volume))
                     .put(store::keys::attachment("v"), model::to_json(*wanted.attachment))
                     .put(store::keys::current("v"), model::to_json(*wanted.current))
                     .wake(wanted.volume));
  }
  bool is_current(const std::string& node) {
    return store.find_current("v")->value.nodes.contains(node);
  }
};

}  // namespace plexvol::reconcile
