// Who holds a volume: attach, take over, detach.
//
// A volume is attached to one node at most. The attachment says where it is wanted; whether its
// data may be used there is the arbiter's word.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/arbiter/arbiter.h"
#include "agent/model/model.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/await.h"
#include "agent/volumes/create.h"
#include "agent/volumes/release.h"
#include "agent/volumes/settings.h"
#include "agent/volumes/wanted.h"

namespace plexvol::volumes {

// What a call wants of the attachment. Where attaching is a call of its own, no other one attaches:
// a volume that was detached while its kubelet still worked on it (contract fact 43) would be
// attached again, and nobody would ever detach it.
enum class Claim { Attach, StayAttached, Mount };

struct Taker {
  std::string node;
  // By which it is detached again. A volume may be attached under several names at once, and is
  // until the last of them is detached.
  std::string name;
  Claim claim = Claim::Attach;
};

class Attachments {
 public:
  Attachments(store::TypedStore& store, arbiter::Arbiter& arbiter, Creation& creation,
              Releases& releases, const Settings& settings)
      : store_(store),
        arbiter_(arbiter),
        creation_(creation),
        releases_(releases),
        settings_(settings) {}

  // Returns when it can be used on the node. A volume that does not exist is made when a size is
  // given.
  model::Volume attach(const Wanted& wanted, const std::string& node, const std::string& name,
                       const Call& call);
  // It was attached to this node before, and returns when it can be used here: also after a reboot,
  // when the device comes anew. Throws Conflict when it was detached meanwhile.
  void await_device(const Wanted& wanted, const std::string& name, const Call& call);
  // Nothing to do is success. Throws Conflict while it is in use.
  void detach(const std::string& node, const std::string& name, const Call& call);
  std::optional<std::string> find_node(const std::string& volume);

  // Makes the volume attached to the node under this name, taking it over from a node that is gone,
  // or that lets go of it. Answers the attachment's revision.
  std::int64_t hold(const model::Volume& volume, const Taker& taker, const Call& call);

 private:
  bool try_hold(const model::Volume& volume, const Taker& taker, const Call& call);
  bool ask_for(const model::Volume& volume, const store::Versioned<model::Attachment>& held,
               model::Attachment mine, const Taker& taker, const Call& call);
  store::Change holding(const model::Volume& volume, const model::Attachment& next,
                        const Taker& taker, store::Change change);
  store::Change taking_over(const model::Volume& volume,
                            const store::Versioned<model::Attachment>& from,
                            const model::Attachment& next, const Taker& taker);
  bool remove_attachment(const model::Volume& volume,
                         const store::Versioned<model::Attachment>& attachment);
  void await_ready(const model::Volume& volume, const std::string& node, std::int64_t revision,
                   const Call& call);

  store::TypedStore& store_;
  arbiter::Arbiter& arbiter_;
  Creation& creation_;
  Releases& releases_;
  const Settings& settings_;
};

}  // namespace plexvol::volumes
