#include "agent/view/conditions.h"

#include "agent/api/text.h"

namespace plexvol::view {

namespace {

// nullptr: it has none.
const Json* find_condition(const Json& status, const std::string& type) {
  const auto conditions = status.find("conditions");
  if (conditions == status.end() || !conditions->is_array()) return nullptr;
  for (const Json& condition : *conditions) {
    if (condition.is_object() && word(condition, "type") == type) return &condition;
  }
  return nullptr;
}

}  // namespace

Json parse_status(const std::string& text) {
  Json status = Json::parse(text, nullptr, false);
  return status.is_object() ? status : Json::object();
}

std::string word(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

void add_condition(Json& status, const Json& before, const Condition& condition, std::int64_t now) {
  std::string since = time_to_text(now);
  if (const Json* known = find_condition(before, condition.type);
      known != nullptr && word(*known, "status") == condition.status) {
    const std::string told = word(*known, "lastTransitionTime");
    if (!told.empty()) since = told;
  }
  status["conditions"].push_back({{"type", condition.type},
                                  {"status", condition.status},
                                  {"reason", condition.reason},
                                  {"message", condition.message},
                                  {"lastTransitionTime", since}});
}

void keep_condition(Json& status, const Json& before, const std::string& type) {
  if (const Json* known = find_condition(before, type)) status["conditions"].push_back(*known);
}

}  // namespace plexvol::view
