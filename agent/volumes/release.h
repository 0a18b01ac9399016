// Requests to the node that holds a volume: to release it, or to say where it is mounted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/model/model.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/await.h"
#include "agent/volumes/settings.h"

namespace plexvol::volumes {

// What was seen of a holder that should have answered; what has changed since shows in a revision.
struct Silent {
  store::Versioned<model::Attachment> attachment;
  store::Versioned<model::Current> current;
  std::int64_t status_revision = 0;
  std::string session;
};

class Releases {
 public:
  Releases(store::TypedStore& store, const Settings& settings)
      : store_(store), settings_(settings) {}

  // Its agent has lost its lease. Never so of this very node, whose key comes a moment after its
  // agent.
  bool is_gone(const std::string& node) const;
  // The copy on `node` can be used, and has no connection to the others. So a holder elsewhere, if it
  // lives, is frozen until its agent has asked the arbiter.
  bool is_cut_off(const std::string& volume, const std::string& node);

  // Returns when the attachment is another than it was, or the request was withdrawn by another
  // call that waited for it; throws Conflict with the holder's reason when it refuses. A value: it
  // says nothing, and is cut off from the copy on `taker` ("": on none).
  std::optional<Silent> request(const model::Volume& volume,
                                const store::Versioned<model::Attachment>& attachment,
                                const std::string& reason, const std::string& taker,
                                const Call& call);
  // A request that was refused must not be granted later, when nobody waits for it any more. A call
  // that still waits for it makes a new one.
  void withdraw(const std::string& volume, const std::string& id);

  // What the holder sees after this call, which its last status may not tell. nullopt: the
  // attachment has changed.
  std::optional<model::Status> ask_holder(const model::Volume& volume,
                                          const store::Versioned<model::Attachment>& attachment,
                                          const Call& call);

 private:
  std::optional<Silent> find_silent(const std::string& volume, const std::string& taker,
                                    const std::string& release_id);
  std::optional<std::string> join_or_ask(const model::Volume& volume,
                                         const store::Versioned<model::Attachment>& attachment,
                                         const std::string& reason);

  store::TypedStore& store_;
  const Settings& settings_;
};

}  // namespace plexvol::volumes
