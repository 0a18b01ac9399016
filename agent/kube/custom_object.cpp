#include "agent/kube/custom_object.h"

#include "agent/kube/source.h"

namespace plexvol::kube {

template <>
CustomObject from_json<CustomObject>(const std::string& text) {
  const Source source = read_source("custom object", text);
  const auto part = [&](const char* key) {
    const auto found = source.json.find(key);
    return found != source.json.end() && found->is_object() ? dump(*found) : std::string("{}");
  };
  return {.meta = source.meta, .spec = part("spec"), .status = part("status")};
}

}  // namespace plexvol::kube
