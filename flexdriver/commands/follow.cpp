#include "flexdriver/commands/follow.h"

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/base/text.h"

namespace plexvol::driver {

namespace {

constexpr std::chrono::seconds kBetweenAnswers(2);

std::string time_left_text(std::uint64_t seconds) {
  constexpr std::uint64_t kMinute = 60;
  if (seconds < 2 * kMinute) return std::to_string(seconds) + " s";
  if (seconds < 2 * kMinute * kMinute) return std::to_string(seconds / kMinute) + " min";
  return std::to_string(seconds / (kMinute * kMinute)) + " h";
}

std::string state_text(const api::VolumeInfo& volume, const std::string& progress) {
  std::string text = "volume " + volume.name + ": ";
  if (!volume.pending.empty()) {
    text += volume.pending;
  } else if (volume.state == "Ready") {
    std::vector<std::string> nodes;
    for (const api::ReplicaInfo& replica : volume.replicas) nodes.push_back(replica.node);
    text += "its replicas are on " + base::join(nodes);
  } else {
    text += "its replicas are not in sync yet";
  }
  if (!progress.empty()) return text + "; " + progress;
  for (const api::ReplicaInfo& replica : volume.replicas) {
    if (!replica.error.empty()) text += "; " + replica.node + ": " + one_line(replica.error);
  }
  return text;
}

}  // namespace

std::string Progress::tell(const api::VolumeInfo& volume, Clock::time_point now) {
  std::vector<std::string> texts;
  for (const api::ReplicaInfo& replica : volume.replicas) {
    if (replica.current || !replica.made || replica.connection != "Connected") {
      begins_.erase(replica.node);
      continue;
    }
    const std::uint64_t left = replica.out_of_sync_bytes;
    const auto [found, is_new] = begins_.try_emplace(replica.node, Begin{now, left});
    const Begin& begin = found->second;
    const std::uint64_t done = volume.size_bytes - std::min(left, volume.size_bytes);
    std::string text = replica.node + " " +
                       std::to_string(static_cast<unsigned>(replica.synced_percent)) +
                       "%: " + size_to_text(done) + " of " + size_to_text(volume.size_bytes);
    const double seconds = std::chrono::duration<double>(now - begin.at).count();
    if (seconds > 0 && begin.out_of_sync_bytes > left) {
      const double rate = static_cast<double>(begin.out_of_sync_bytes - left) / seconds;
      text += ", " + size_to_text(static_cast<std::uint64_t>(rate)) + "/s, ~" +
              time_left_text(static_cast<std::uint64_t>(static_cast<double>(left) / rate));
    }
    texts.push_back(text);
  }
  return base::join(texts, "; ");
}

void follow(const std::string& name, const CommandContext& context) {
  Progress progress;
  std::string said;
  const auto tell = [&](const std::string& now) {
    if (now != said && !context.options().json()) print_line(now);
    said = now;
  };
  for (;; std::this_thread::sleep_for(kBetweenAnswers)) {
    try {
      const std::string result =
          context.ask(api::kVolumeShowPath, api::to_json(api::VolumeNameRequest{name}));
      const auto volume = api::from_json<api::VolumeInfo>(result);
      tell(state_text(volume, progress.tell(volume, Progress::Clock::now())));
      if (!volume.pending.empty() || volume.state != "Ready") continue;
      if (context.options().json()) print_line(result);
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::Unavailable) throw;
      tell(error.what());
    }
  }
}

}  // namespace plexvol::driver
