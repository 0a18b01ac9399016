// For tests of what a pass is made of: n1, which has a copy of the volume v beside that on n2, in a
// store that says what the test writes.
#pragma once

#include <fstream>
#include <functional>
#include <string>

#include "agent/model/codec.h"
#include "agent/reconcile/shared.h"
#include "tests/unit/reconcile/plan_cases.h"
#include "tests/unit/reconcile/reconciler_node.h"

namespace plexvol::reconcile {

// No part of these tests runs a tool that it does not wait for.
class NoTool : public process::Runner {
 public:
  process::Output run(const process::Command& command) override {
    if (!when_run) FAIL("a tool was run: " << process::to_text(command));
    when_run();
    return {};
  }
  std::function<void()> when_run;
};

struct PartOfPass : ReconcilerNode<NoTool> {
  PartOfPass() {
    std::ofstream(directory.path() / "version") << "8.4.11\n";
    Wanted wanted = cases::mirrored();
    wanted.volume.secret = "secret";
    put(wanted.volume);
    store.commit(store::Change().put(store::keys::current("v"), model::to_json(*wanted.current)));
  }

  void put(const model::Volume& volume) {
    store.commit(
        store::Change().put(store::keys::volume("v"), model::to_json(volume)).wake(volume));
  }
  model::Volume volume() { return store.find_volume("v")->value; }

  const std::string name = "v";
  int contradictions = 0;
  Shared shared{tools, with_counter()};

 private:
  ReconcilerSettings with_counter() {
    ReconcilerSettings made = settings;
    made.contradicted = [this](const std::string&) { ++contradictions; };
    return made;
  }
};

}  // namespace plexvol::reconcile
