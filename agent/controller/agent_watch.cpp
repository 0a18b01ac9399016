#include "agent/controller/agent_watch.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>

#include "agent/api/error.h"
#include "agent/base/pause.h"
#include "agent/log.h"

namespace plexvol::controller {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPulse(3'000);
constexpr std::chrono::seconds kWithoutPulse(10);
constexpr milliseconds kBetweenLists(1'000);
// Of a large cluster the list itself takes a while: most of the time nobody works on one.
constexpr int kRestPerWork = 4;
// But what a dead node has lost is to be seen soon.
constexpr milliseconds kMostRest(2'000);

}  // namespace

AgentPulse::AgentPulse(const NodeAgent& agent)
    : agent_(agent), thread_([this](const std::stop_token& stop) { run(stop); }) {}

bool AgentPulse::beats() const {
  const base::Clock::time_point last{base::Clock::duration(last_.load())};
  return last_ != 0 && base::Clock::now() - last < kWithoutPulse;
}

void AgentPulse::run(const std::stop_token& stop) {
  bool is_told = false;
  while (!stop.stop_requested()) {
    try {
      agent_.version();
      last_ = base::Clock::now().time_since_epoch().count();
      is_told = false;
    } catch (const Error& error) {
      if (!is_told)
        log::warn(fmt::format("the agent of this node does not answer: {}", error.what()));
      is_told = true;
    }
    base::pause(kPulse, stop);
  }
}

VolumeWatch::VolumeWatch(const NodeAgent& agent, KnownVolumes& known)
    : agent_(agent), known_(known), thread_([this](const std::stop_token& stop) { run(stop); }) {}

void VolumeWatch::run(const std::stop_token& stop) {
  std::string token;
  while (!stop.stop_requested()) {
    base::Clock::duration pause = kBetweenLists;
    try {
      const std::string next = agent_.await_change(token);
      const base::Clock::time_point begin = base::Clock::now();
      if (next != token) known_.replace(agent_.list_volumes(), begin);
      token = next;
      pause = std::clamp<base::Clock::duration>(kRestPerWork * (base::Clock::now() - begin), pause,
                                                kMostRest);
    } catch (const Error& error) {
      token.clear();
      log::warn(fmt::format("cannot list the volumes: {}", error.what()));
    }
    base::pause(pause, stop);
  }
}

}  // namespace plexvol::controller
