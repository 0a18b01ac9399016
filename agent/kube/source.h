// What decoders of objects begin with. Private to agent/kube, as json.h is.
#pragma once

#include <string>

#include "agent/kube/json.h"
#include "agent/kube/objects.h"

namespace plexvol::kube {

// An object's text, and what is read from it.
struct Source {
  JsonValue json;
  Meta meta;
  std::string subject;

  Fields top() const { return {json, subject}; }
  Fields part(const char* key) const { return top().object(key); }
};

// Throws Error(Internal) when it is no object, or has no metadata.name. `kind` is for messages.
Source read_source(const char* kind, const std::string& text);

}  // namespace plexvol::kube
