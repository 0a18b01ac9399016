#include "agent/api/codec.h"

namespace plexvol::api::codec {

namespace {

constexpr int kDeepest = 32;

// Looked at before the parser sees the text: code that walks through a value recurses, and a
// caller's brackets must not decide about our stack.
bool is_too_deep(const std::string& text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string && c == '\\') {
      ++at;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '{' || c == '[') && ++depth > kDeepest) {
      return true;
    } else if (!in_string && (c == '}' || c == ']')) {
      --depth;
    }
  }
  return false;
}

std::string shown_path(const std::string& path) {
  return path.empty() ? "the text" : "field " + in_quotes(path);
}

}  // namespace

Json parse_object(const std::string& text) {
  if (is_too_deep(text)) {
    throw Error(ErrorCode::InvalidArgument,
                "JSON nested deeper than " + std::to_string(kDeepest) + " is refused");
  }
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& error) {
    throw Error(ErrorCode::InvalidArgument,
                "not JSON, at byte " + std::to_string(error.byte) + " of " + in_quotes(text));
  } catch (const Json::exception&) {
    throw Error(ErrorCode::InvalidArgument, "not JSON: " + in_quotes(text));
  }
  if (!json.is_object()) refuse_field("", "a JSON object", json);
  return json;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void refuse_field(const std::string& path, const char* wanted, const Json& got) {
  throw Error(ErrorCode::InvalidArgument, shown_path(path) + " must be " + wanted + ", not " +
                                              got.type_name() + ' ' + in_quotes(dump(got)));
}

void refuse_missing(const std::string& path) {
  throw Error(ErrorCode::InvalidArgument, shown_path(path) + " is missing");
}

std::uint64_t read_unsigned(const Json& json, const std::string& path, std::uint64_t most) {
  if (!json.is_number_unsigned() || json.get<std::uint64_t>() > most) {
    refuse_field(path, "a whole number that is not negative and not too large", json);
  }
  return json.get<std::uint64_t>();
}

std::int64_t read_signed(const Json& json, const std::string& path, std::int64_t least,
                         std::int64_t most) {
  const bool fits_type =
      json.is_number_integer() &&
      (!json.is_number_unsigned() || json.get<std::uint64_t>() <= static_cast<std::uint64_t>(most));
  if (!fits_type || json.get<std::int64_t>() < least || json.get<std::int64_t>() > most) {
    refuse_field(path, "a whole number that is not too large", json);
  }
  return json.get<std::int64_t>();
}

void read(const Json& json, const std::string& path, std::map<std::string, std::string>& value) {
  if (!json.is_object()) refuse_field(path, "an object", json);
  value.clear();
  for (const auto& [name, text] : json.items()) {
    std::string inner = path;
    if (!inner.empty()) inner += '.';
    read(text, inner.append(name), value[name]);
  }
}

}  // namespace plexvol::api::codec
