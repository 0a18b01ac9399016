#include "agent/volumes/drbd_helper.h"

#include <fmt/core.h>

#include "agent/log.h"

namespace plexvol::volumes {

api::HelperReply answer_drbd(store::TypedStore& store, arbiter::Arbiter& arbiter,
                             const Settings& settings, const api::HelperRequest& request) {
  constexpr int kPeerOutdated = 4;  // DRBD trap 3: I/O goes on
  constexpr int kUnknown = 1;       // it stays frozen, a promotion is refused
  if (request.event != "fence-peer") {
    log::info(fmt::format("DRBD reports {} for {}", request.event, request.object));
    return {.exit_code = 0};
  }
  const auto volume = store.find_volume(request.object);
  if (!volume || !volume->value.slot() || !settings.owns_resource(volume->value)) {
    log::warn(
        fmt::format("DRBD asks to fence the peer of resource {}, which is not a Plexvol volume",
                    request.object));
    return {.exit_code = kUnknown};
  }
  const std::string peer = volume->value.peer_of(settings.here);
  const arbiter::Arbiter::Question question(arbiter, request.object);
  const auto verdict =
      arbiter.take_out(volume->value, settings.here, peer,
                       fmt::format("DRBD on {} lost its connection to {}", settings.here, peer));
  try {
    // The answer may come too late for the kernel, which then has nothing more to say: somebody has
    // to put the peer back all the same.
    store.commit(store::Change().wake(volume->value));
  } catch (const Error& error) {
    log::warn(error.what());
  }
  return {.exit_code = verdict == arbiter::Verdict::Won ? kPeerOutdated : kUnknown};
}

}  // namespace plexvol::volumes
