// For tests of whole passes: the reconciler of n1 with a store in a file, and no pool yet. Its
// tools are run by a Runner of the test's choice.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "agent/filesystem/filesystem.h"
#include "agent/reconcile/reconciler.h"
#include "agent/store/file_store.h"
#include "tests/support/counting_store.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::reconcile {

template <class Runner, class Raw = support::CountingStore>
struct ReconcilerNode {
  ReconcilerSettings settings;
  support::TemporaryDirectory directory;
  store::FileStore file_store{directory.path() / "store"};
  Raw raw{file_store};
  store::TypedStore store{raw};
  store::ActedSets acted{directory.path() / "acted"};
  arbiter::Arbiter arbiter{store, acted};
  std::map<std::string, std::unique_ptr<Pool>> pools;
  Runner runner;
  drbd::Drbd drbd{runner,
                  {.config_directory = directory.path() / "drbd",
                   .module = {.directory = directory.path(), .proc = "/nonexistent"}}};
  filesystem::Filesystem filesystem{runner};
  mounting::MountCalls calls{[](const std::string&) {}};
  pods::Pods pod_states{{.runtime_sockets = {}, .host_root = ""}};
  Jobs jobs{[](const std::string&) {}};
  int resyncs_changed = 0;
  Tools tools{.store = store,
              .arbiter = arbiter,
              .pools = pools,
              .drbd = drbd,
              .filesystem = filesystem,
              .calls = calls,
              .pods = pod_states,
              .jobs = jobs,
              .links = Links(directory.path() / "links")};
  Reconciler reconciler{tools, settings};

  explicit ReconcilerNode(std::chrono::seconds question_time = ReconcilerSettings{}.question_time)
      : settings(make_settings(question_time)) {}
  ReconcilerNode(const ReconcilerNode&) = delete;
  ReconcilerNode& operator=(const ReconcilerNode&) = delete;

 private:
  ReconcilerSettings make_settings(std::chrono::seconds question_time) {
    ReconcilerSettings made;
    made.here = "n1";
    made.session = "session";
    made.question_time = question_time;
    made.resyncs_changed = [this] { ++resyncs_changed; };
    return made;
  }
};

}  // namespace plexvol::reconcile
