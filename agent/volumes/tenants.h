// Whose pods may mount a volume: inline volumes of one name in two namespaces are one volume.
#pragma once

#include <string>

#include "agent/model/model.h"
#include "agent/store/typed_store.h"

namespace plexvol::volumes {

// Throws Conflict unless pods of the namespace may mount the volume; "" is no pod's.
void check_tenant(store::TypedStore& store, const model::Volume& volume, const std::string& tenant);
// The same, and a volume that has no namespace yet is of this one from now on.
void claim_for_tenant(store::TypedStore& store, const model::Volume& volume,
                      const std::string& tenant);
// By a person's word: a namespace, or api::kAnyNamespace.
void set_tenant(store::TypedStore& store, const std::string& name, const std::string& tenant);

}  // namespace plexvol::volumes
