// Objects of custom resources: what they mean is for others to know.
#pragma once

#include <string>

#include "agent/kube/objects.h"

namespace plexvol::kube {

struct CustomObject {
  Meta meta;
  std::string spec;    // JSON text, with the members of an object in alphabetical order; "{}": none
  std::string status;  // the same
};
template <>
CustomObject from_json<CustomObject>(const std::string& text);

}  // namespace plexvol::kube
