// DRBD's question, by its usermode_helper: may this node go on without its peer?
#pragma once

#include "agent/api/protocol.h"
#include "agent/arbiter/arbiter.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/settings.h"

namespace plexvol::volumes {

// The exit status that the kernel is to get. Throws Unavailable when the store gives no answer.
api::HelperReply answer_drbd(store::TypedStore& store, arbiter::Arbiter& arbiter,
                             const Settings& settings, const api::HelperRequest& request);

}  // namespace plexvol::volumes
