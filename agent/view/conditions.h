// Conditions of a status, as Kubernetes' own objects have them. Private to agent/view: names
// nlohmann/json, which costs a compiler ten seconds.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

namespace plexvol::view {

using Json = nlohmann::json;

// The type of the condition that says what became of the last request in a spec.
inline constexpr const char* kRequestDone = "RequestDone";
// The members of a volume's status with the last requests that were seen to.
inline constexpr const char* kCopiesAsked = "copiesAsked";
inline constexpr const char* kSizeAsked = "sizeAsked";

struct Condition {
  std::string type;
  std::string status;  // True, False, Unknown
  std::string reason;  // one word
  std::string message;
};

// An object; an empty one when the text is none.
Json parse_status(const std::string& text);
// Of an object; "" when it has no such string.
std::string word(const Json& object, const char* key);

// Adds it to `status`, with the time at which its status last changed: the time that it has in
// `before`, or now (seconds since 1970) when it is another one.
void add_condition(Json& status, const Json& before, const Condition& condition, std::int64_t now);
// Takes it from `before` as it is, if it is there.
void keep_condition(Json& status, const Json& before, const std::string& type);

}  // namespace plexvol::view
