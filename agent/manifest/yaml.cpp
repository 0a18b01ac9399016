#include "agent/manifest/yaml.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/text.h"

namespace plexvol::manifest {

namespace {

constexpr unsigned kDeepest = 32;

using Lines = std::vector<std::string>;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_plain_character(char c) {
  return is_letter(c) || is_digit(c) || c == '.' || c == '_' || c == '/' || c == '-';
}

// The words of YAML 1.1; those of 1.2 are among them.
bool is_word(std::string text) {
  constexpr std::array kWords{"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return std::find(kWords.begin(), kWords.end(), text) != kWords.end();
}

// "10Gi", which begins as a number does, and is none.
bool is_quantity(std::string_view text) {
  constexpr std::string_view kUnits = "KMGTPE";
  return text.size() > 2 && text.ends_with('i') &&
         kUnits.find(text[text.size() - 2]) != std::string_view::npos &&
         std::all_of(text.begin(), text.end() - 2, is_digit);
}

// Whatever begins with a digit or a sign may be a number or a date.
bool is_plain(const std::string& text) {
  if (is_quantity(text)) return true;
  return !text.empty() && (is_letter(text.front()) || text.front() == '/') &&
         std::all_of(text.begin(), text.end(), is_plain_character) && !is_word(text);
}

// The character at the front of what is known to be UTF-8, taken off.
std::uint32_t take_character(std::string_view& text) {
  constexpr std::array<std::uint32_t, 5> kMasks{0, 0x7f, 0x1f, 0x0f, 0x07};
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  std::uint32_t character = first & kMasks.at(length);
  for (std::size_t at = 1; at < length; ++at) {
    character = character << 6U | (static_cast<unsigned char>(text.at(at)) & 0x3fU);
  }
  text.remove_prefix(length);
  return character;
}

std::string escaped_text(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::uint32_t character = take_character(text);
    if (character == '"' || character == '\\') out += '\\';
    if (character >= ' ' && character <= '~') {
      out += static_cast<char>(character);
      continue;
    }
    std::array<char, 16> escaped{};
    std::snprintf(escaped.data(), escaped.size(), character > 0xffff ? "\\U%08x" : "\\u%04x",
                  character);
    out += escaped.data();
  }
  return out + '"';
}

std::string text_of(const std::string& text) {
  return is_plain(text) ? text : escaped_text(text);
}

bool is_block(const nlohmann::json& json) {
  return json.is_structured() && !json.empty();
}

std::string scalar_of(const nlohmann::json& json) {
  return json.is_string() ? text_of(json.get_ref<const std::string&>()) : json.dump();
}

Lines lines_of(const nlohmann::json& json, unsigned depth);

void add_member(Lines& lines, const std::string& key, const nlohmann::json& value, unsigned depth) {
  if (!is_block(value)) {
    lines.push_back(text_of(key) + ": " + scalar_of(value));
    return;
  }
  lines.push_back(text_of(key) + ':');
  const char* indent = value.is_object() ? "  " : "";
  for (const std::string& line : lines_of(value, depth + 1)) lines.push_back(indent + line);
}

void add_item(Lines& lines, const nlohmann::json& value, unsigned depth) {
  const char* indent = "- ";
  for (const std::string& line : lines_of(value, depth + 1)) {
    lines.push_back(indent + line);
    indent = "  ";
  }
}

Lines lines_of(const nlohmann::json& json, unsigned depth) {
  if (depth > kDeepest) {
    throw Error(ErrorCode::InvalidArgument,
                "an object nested deeper than " + std::to_string(kDeepest) + " is refused");
  }
  if (!is_block(json)) return {scalar_of(json)};
  Lines lines;
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) add_member(lines, key, value, depth);
  } else {
    for (const auto& value : json) add_item(lines, value, depth);
  }
  return lines;
}

}  // namespace

std::string to_yaml(const std::string& json) {
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  if (!parsed.is_object()) {
    throw Error(ErrorCode::InvalidArgument, "not a JSON object: " + in_quotes(json));
  }
  std::string text;
  for (const std::string& line : lines_of(parsed, 1)) text += line + '\n';
  return text;
}

}  // namespace plexvol::manifest
