// Many agents without disks against one etcd, for `make bench`: tests/bench/bench/scale.py tells
// what is measured.
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/store/etcd_store.h"
#include "tests/bench/scale/agent.h"
#include "tests/bench/scale/fill.h"

namespace {

using namespace plexvol;  // NOLINT(google-build-using-namespace): wiring names everything once

constexpr const char* kUsage =
    "scale fill ENDPOINT NODES                   what a cluster of so many nodes holds\n"
    "scale run ENDPOINT NODES FIRST END FOLDER   the agents from FIRST to END; says \"looked\" "
    "when\n"
    "                                            all have looked at all; until it is killed\n"
    "scale change ENDPOINT NODES COUNT SECONDS   so many volumes, one after the other\n"
    "scale cordon ENDPOINT NODES                 the first node\n";

unsigned number(const std::string& text) {
  return static_cast<unsigned>(std::stoul(text));
}

store::EtcdSettings settings_for(const std::string& endpoint) {
  store::EtcdSettings settings;
  settings.endpoints = {endpoint};
  return settings;
}

void allow_many_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

bool have_looked(const std::vector<std::unique_ptr<scale::Agent>>& agents) {
  for (const auto& agent : agents) {
    if (!agent->has_looked_at_all()) return false;
  }
  return true;
}

[[noreturn]] void run(const scale::AgentSettings& settings, const scale::Landscape& landscape,
                      unsigned first, unsigned end) {
  allow_many_descriptors();
  std::vector<std::unique_ptr<scale::Agent>> agents;
  for (unsigned node = first; node < end; ++node) {
    agents.push_back(std::make_unique<scale::Agent>(settings, landscape, node));
  }
  while (!have_looked(agents)) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  std::puts("looked");
  std::fflush(stdout);
  for (;;) pause();
}

int start(const std::vector<std::string>& words) {
  const std::string verb = words.size() < 3 ? "" : words[0];
  if (verb == "run" && words.size() == 6) {
    run({.endpoint = words[1], .directory = words[5]}, scale::Landscape(number(words[2])),
        number(words[3]), number(words[4]));
  }
  const bool fills = verb == "fill" && words.size() == 3;
  const bool changes = verb == "change" && words.size() == 5;
  const bool cordons = verb == "cordon" && words.size() == 3;
  if (!fills && !changes && !cordons) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  store::EtcdStore store(settings_for(words[1]));
  const scale::Landscape landscape(number(words[2]));
  if (fills) scale::fill(store, landscape);
  if (cordons) scale::cordon(store, scale::node_name(0));
  if (changes) {
    scale::change(store, landscape, number(words[3]), std::chrono::seconds(number(words[4])));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // As the agent's main does.
  ::setenv("GRPC_VERBOSITY", "NONE", 0);  // NOLINT(concurrency-mt-unsafe): before any thread
  try {
    return start({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "scale: %s\n", error.what());
    return 1;
  }
}
