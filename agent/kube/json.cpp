#include "agent/kube/json.h"

#include <fmt/core.h>

#include <utility>

#include "agent/api/error.h"
#include "agent/api/text.h"

namespace plexvol::kube {

JsonValue parse_object(std::string_view text, const std::string& what) {
  const auto is_kept = [](int depth, JsonValue::parse_event_t, const JsonValue&) {
    return depth <= kMaxDepth;
  };
  JsonValue json = JsonValue::parse(text.begin(), text.end(), is_kept, false);
  if (!json.is_object()) {
    throw Error(ErrorCode::Internal,
                fmt::format("{}: expected a JSON object, got {}", what, in_quotes(text)));
  }
  return json;
}

std::string dump(const JsonValue& json) {
  return json.dump(-1, ' ', false, JsonValue::error_handler_t::replace);
}

std::string text_or_empty(const JsonValue& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Fields::Fields(const JsonValue& object, std::string subject, std::string place)
    : object_(&object), subject_(std::move(subject)), place_(std::move(place)) {
  if (!object.is_object()) reject(place_, object, "an object");
}

std::string Fields::text(const char* key) const {
  const JsonValue* value = find(key);
  if (value == nullptr) return "";
  if (!value->is_string()) reject(place_of(key), *value, "a string");
  return value->get<std::string>();
}

std::string Fields::text_or_number(const char* key) const {
  const JsonValue* value = find(key);
  return value != nullptr && value->is_number() ? value->dump() : text(key);
}

bool Fields::flag(const char* key) const {
  const JsonValue* value = find(key);
  if (value == nullptr) return false;
  if (!value->is_boolean()) reject(place_of(key), *value, "true or false");
  return value->get<bool>();
}

std::int64_t Fields::number(const char* key) const {
  const JsonValue* value = find(key);
  if (value == nullptr) return 0;
  if (!value->is_number_integer()) reject(place_of(key), *value, "a whole number");
  return value->get<std::int64_t>();
}

Words Fields::words(const char* key) const {
  const JsonValue* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_object()) reject(place_of(key), *value, "an object");
  Words words;
  for (const auto& [name, word] : value->items()) {
    if (!word.is_string()) reject(place_of(key) + '.' + name, word, "a string");
    words[name] = word.get<std::string>();
  }
  return words;
}

std::vector<std::string> Fields::texts(const char* key) const {
  const JsonValue* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) reject(place_of(key), *value, "a list");
  std::vector<std::string> texts;
  for (const JsonValue& text : *value) {
    if (!text.is_string()) {
      reject(fmt::format("{}[{}]", place_of(key), texts.size()), text, "a string");
    }
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

Fields Fields::object(const char* key) const {
  static const JsonValue empty = JsonValue::object();
  const JsonValue* value = find(key);
  return {value == nullptr ? empty : *value, subject_, place_of(key)};
}

std::vector<Fields> Fields::objects(const char* key) const {
  const JsonValue* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) reject(place_of(key), *value, "a list");
  std::vector<Fields> objects;
  for (const JsonValue& object : *value) {
    objects.emplace_back(object, subject_, fmt::format("{}[{}]", place_of(key), objects.size()));
  }
  return objects;
}

bool Fields::has(const char* key) const {
  return find(key) != nullptr;
}

const JsonValue* Fields::find(const char* key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

std::string Fields::place_of(const char* key) const {
  return place_.empty() ? key : place_ + '.' + key;
}

void Fields::reject(const std::string& place, const JsonValue& value, const char* wanted) const {
  throw Error(ErrorCode::Internal,
              one_line(fmt::format("{}: {} is {}, expected {}", subject_,
                                   place.empty() ? "the object" : place, value.type_name(), wanted),
                       500));
}

}  // namespace plexvol::kube
