// JSON as the API server writes it. Private to agent/kube; names nlohmann/json, which costs a
// compiler ten seconds, so no other header of the folder includes this one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/kube/objects.h"

namespace plexvol::kube {

using JsonValue = nlohmann::json;

// Values that are nested deeper are left out when text is read. No object that Plexvol asks for
// needs them, and one that a user made so must not keep the others of a list from being read.
inline constexpr int kMaxDepth = 64;

// Throws Error(Internal) that begins with `what` when the text is no JSON object.
JsonValue parse_object(std::string_view text, const std::string& what);

// Never throws.
std::string dump(const JsonValue& json);

// The member `key` of an object if it is a string, else "".
std::string text_or_empty(const JsonValue& object, const char* key);

// The members of one object of the API. Absent and null ones read as empty. Those of the wrong type
// throw Error(Internal): "Pod default/web: spec.nodeName is a number, not a string". The JSON value
// must outlive this.
class Fields {
 public:
  // `subject`: "Pod default/web"; `place`: where the object is within the subject, "" at its top.
  Fields(const JsonValue& object, std::string subject, std::string place = "");

  std::string text(const char* key) const;
  // Of a string, or of a number, as some members may be written both ways.
  std::string text_or_number(const char* key) const;
  bool flag(const char* key) const;
  std::int64_t number(const char* key) const;
  Words words(const char* key) const;
  std::vector<std::string> texts(const char* key) const;
  Fields object(const char* key) const;
  std::vector<Fields> objects(const char* key) const;
  // It is there, and not null; it may be empty.
  bool has(const char* key) const;

 private:
  const JsonValue* find(const char* key) const;
  std::string place_of(const char* key) const;
  [[noreturn]] void reject(const std::string& place, const JsonValue& value,
                           const char* wanted) const;

  const JsonValue* object_;
  std::string subject_;
  std::string place_;
};

}  // namespace plexvol::kube
