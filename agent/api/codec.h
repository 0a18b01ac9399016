// Structs as JSON and back, from one list of fields per struct. Private to agent/api; names
// nlohmann/json, which costs a compiler ten seconds, so no other header includes this one.
//
// A struct takes part by a function `constexpr auto fields_of(const S*)` beside it that returns a
// tuple of must(...) and may(...).
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/text.h"

namespace plexvol::api::codec {

using Json = nlohmann::json;

template <class S, class T>
struct Field {
  const char* name;
  T S::*member;
  bool required;
};
template <class S, class T>
constexpr Field<S, T> must(const char* name, T S::*member) {
  return {name, member, true};
}
// Absent or null: keeps the struct's default.
template <class S, class T>
constexpr Field<S, T> may(const char* name, T S::*member) {
  return {name, member, false};
}

template <class S>
concept Described = requires(const S* s) {
  fields_of(s);
};

// Throws InvalidArgument when the text is no JSON object, holds bytes that are no UTF-8, or is
// nested deeper than 32.
Json parse_object(const std::string& text);
// Never throws: what is no UTF-8 is replaced, since messages of tools may hold anything.
std::string dump(const Json& json);

[[noreturn]] void refuse_field(const std::string& path, const char* wanted, const Json& got);
[[noreturn]] void refuse_missing(const std::string& path);

std::uint64_t read_unsigned(const Json& json, const std::string& path, std::uint64_t most);
std::int64_t read_signed(const Json& json, const std::string& path, std::int64_t least,
                         std::int64_t most);

inline void read(const Json& json, const std::string& path, std::string& value) {
  if (!json.is_string()) refuse_field(path, "a string", json);
  value = json.get_ref<const std::string&>();
}

inline void read(const Json& json, const std::string& path, bool& value) {
  if (!json.is_boolean()) refuse_field(path, "true or false", json);
  value = json.get<bool>();
}

inline void read(const Json& json, const std::string& path, double& value) {
  if (!json.is_number()) refuse_field(path, "a number", json);
  value = json.get<double>();
}

template <class T>
requires std::is_unsigned_v<T>
void read(const Json& json, const std::string& path, T& value) {
  value = static_cast<T>(read_unsigned(json, path, std::numeric_limits<T>::max()));
}

template <class T>
requires(std::is_integral_v<T>&& std::is_signed_v<T>) void read(const Json& json,
                                                                const std::string& path, T& value) {
  value = static_cast<T>(
      read_signed(json, path, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
}

void read(const Json& json, const std::string& path, std::map<std::string, std::string>& value);

template <Described S>
void read(const Json& json, const std::string& path, S& value);

template <class T>
void read(const Json& json, const std::string& path, std::vector<T>& value) {
  if (!json.is_array()) refuse_field(path, "a list", json);
  value.clear();
  for (const Json& item : json) {
    const std::string here = path + '[' + std::to_string(value.size()) + ']';
    read(item, here, value.emplace_back());
  }
}

template <class S, class T>
void read_field(const Json& json, const std::string& path, const Field<S, T>& field, S& value) {
  const std::string here = path.empty() ? field.name : path + '.' + field.name;
  const auto found = json.find(field.name);
  if (found != json.end() && !found->is_null()) {
    read(*found, here, value.*field.member);
  } else if (field.required) {
    refuse_missing(here);
  }
}

template <Described S>
void read(const Json& json, const std::string& path, S& value) {
  if (!json.is_object()) refuse_field(path, "an object", json);
  std::apply([&](const auto&... field) { (read_field(json, path, field, value), ...); },
             fields_of(&value));
}

template <Described T>
Json write(const std::vector<T>& values);

template <class T>
Json write(const T& value) {
  if constexpr (Described<T>) {
    Json json = Json::object();
    std::apply(
        [&](const auto&... field) { ((json[field.name] = write(value.*field.member)), ...); },
        fields_of(&value));
    return json;
  } else {
    return Json(value);
  }
}

template <Described T>
Json write(const std::vector<T>& values) {
  Json json = Json::array();
  for (const T& value : values) json.push_back(write(value));
  return json;
}

}  // namespace plexvol::api::codec
