// Removes a volume, with its data.
#pragma once

#include <string>
#include <vector>

#include "agent/model/model.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/await.h"
#include "agent/volumes/release.h"
#include "agent/volumes/settings.h"

namespace plexvol::volumes {

class Deletion {
 public:
  Deletion(store::TypedStore& store, Releases& releases, const Settings& settings)
      : store_(store), releases_(releases), settings_(settings) {}

  // Answers the nodes that are away; their part is removed when they return. Throws Conflict while
  // somebody may use it.
  std::vector<std::string> remove(const std::string& name, const Call& call);

 private:
  void release_for_deletion(const model::Volume& volume,
                            const store::Versioned<model::Attachment>& attachment,
                            const Call& call);

  store::TypedStore& store_;
  Releases& releases_;
  const Settings& settings_;
};

}  // namespace plexvol::volumes
