#include "agent/lvm/report.h"

#include <fmt/core.h>

#include <charconv>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string_view>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/text.h"
#include "agent/lvm/lvm.h"

namespace plexvol::lvm {

namespace {

using Json = nlohmann::json;

constexpr const char* kMissing = "vg_missing_pv_count";

// lvm 2.03.16 prints numbers as strings, newer ones can print numbers.
std::string text_of(const Json& row, const char* field) {
  const auto found = row.find(field);
  if (found == row.end()) {
    throw Error(ErrorCode::Internal, fmt::format("lvm's report has no field {}", field));
  }
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number()) return found->dump();
  throw Error(ErrorCode::Internal, fmt::format("lvm's report has neither text nor number in {}: {}",
                                               field, found->dump()));
}

[[noreturn]] void throw_not_a_number(const char* field, const std::string& text) {
  throw Error(ErrorCode::Internal,
              fmt::format("lvm's report has no number in {}: {}", field, in_quotes(text)));
}

std::uint64_t bytes_of(const Json& row, const char* field) {
  const std::string text = text_of(row, field);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) throw_not_a_number(field, text);
  return number;
}

double percent_of(const Json& row, const char* field) {
  const std::string text = text_of(row, field);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) throw_not_a_number(field, text);
  return number;
}

// Bytes of a UTF-8 character that begins here; 0: none does.
std::size_t length_of_character(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t at = 1; at < length; ++at) {
    if ((byte(at) & 0xc0U) != 0x80U) return 0;
  }
  if (length < 3) return length;
  // Forms that are too long, surrogates, and what lies beyond Unicode.
  const unsigned char second = byte(1);
  const bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                   (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return bad ? 0 : length;
}

// lvm escapes quotes and backslashes only. Within its strings, bytes that JSON cannot hold become
// the replacement character; no name of ours has any.
std::string to_valid_json(std::string_view report) {
  std::string text;
  text.reserve(report.size());
  bool in_string = false;
  while (!report.empty()) {
    std::size_t length = length_of_character(report);
    const bool is_control = static_cast<unsigned char>(report.front()) < 0x20;
    if (length == 0 || (in_string && is_control)) {
      text += "\xef\xbf\xbd";
      length = 1;
    } else {
      const bool is_escape = in_string && report.front() == '\\' && report.size() > 1 &&
                             length_of_character(report.substr(1)) == 1;
      if (report.front() == '"') in_string = !in_string;
      if (is_escape) length = 2;
      text += report.substr(0, length);
    }
    report.remove_prefix(length);
  }
  return text;
}

// Without the lines that are no part of the report: an lvm that knows no descriptor for reports
// alone prints its log among them.
std::string without_log(const std::string& report) {
  std::string kept;
  std::istringstream lines(report);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find_first_not_of(' ');
    if (first != std::string::npos &&
        std::string_view("{}[]\",").find(line[first]) != std::string_view::npos) {
      kept += line + "\n";
    }
  }
  return kept;
}

Json parse_report(const std::string& report) {
  const std::string text = to_valid_json(report);
  Json root = Json::parse(text, nullptr, false);
  return root.is_discarded() ? Json::parse(without_log(text), nullptr, false) : root;
}

// The rows of {"report": [{"lv": [...]}]}.
std::vector<Json> rows_of(const std::string& json, const char* kind) {
  const Json root = parse_report(json);
  if (root.is_discarded() || !root.is_object() || !root.contains("report") ||
      !root["report"].is_array()) {
    throw Error(ErrorCode::Internal, "lvm's output is not a report: " + in_quotes(json));
  }
  std::vector<Json> rows;
  for (const Json& report : root["report"]) {
    const auto found = report.find(kind);
    if (found == report.end() || !found->is_array()) {
      throw Error(ErrorCode::Internal, fmt::format("lvm's report has no section {}", kind));
    }
    rows.insert(rows.end(), found->begin(), found->end());
  }
  return rows;
}

std::string attributes_of(const Json& row) {
  std::string attributes = text_of(row, "lv_attr");
  if (attributes.size() >= 9) return attributes;
  throw Error(ErrorCode::Internal, "lvm's report has a bad lv_attr: " + in_quotes(attributes));
}

// The fifth letter of lv_attr. A suspended one (its lvm died half way) counts as inactive:
// activating resumes it.
bool is_active(const Json& row) {
  return attributes_of(row)[4] == 'a';
}

// The ninth letter: the volume's health.
bool is_partial(const Json& row) {
  return attributes_of(row)[8] == 'p';
}

LogicalVolume parse_logical_volume(const Json& row) {
  return {.volume_group = text_of(row, "vg_name"),
          .name = text_of(row, "lv_name"),
          .path = text_of(row, "lv_path"),
          .thin_pool = text_of(row, "pool_lv"),
          .size_bytes = bytes_of(row, "lv_size"),
          .tags = base::split_filled(text_of(row, "lv_tags"), ','),
          .active = is_active(row),
          .partial = is_partial(row)};
}

bool is_plain(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '/' || character == '_' ||
         character == '-';
}

// A regular expression of lvm's that is the device's name. Brackets instead of backslashes, which
// its configuration parser would take away.
std::string pattern_of(const std::string& device) {
  static constexpr std::string_view kOthers = ".:+@=,%~#";
  std::string pattern;
  for (const char character : device) {
    if (is_plain(character)) {
      pattern += character;
    } else if (kOthers.find(character) != std::string_view::npos) {
      pattern += fmt::format("[{}]", character);
    } else {
      throw Error(
          ErrorCode::Unsupported,
          fmt::format("physical volume {}: its name cannot be written in a device filter of lvm",
                      in_quotes(device)));
    }
  }
  return pattern;
}

}  // namespace

std::vector<LogicalVolume> parse_logical_volumes(const std::string& json) {
  std::vector<LogicalVolume> volumes;
  for (const Json& row : rows_of(json, "lv")) {
    const std::string name = text_of(row, "lv_name");
    try {
      volumes.push_back(parse_logical_volume(row));
    } catch (const Error& error) {
      LogicalVolume& volume = volumes.emplace_back();
      volume.volume_group = text_of(row, "vg_name");
      volume.name = name;
      volume.unreadable = error.what();
    }
  }
  return volumes;
}

std::vector<VolumeGroup> parse_volume_groups(const std::string& json) {
  std::vector<VolumeGroup> groups;
  for (const Json& row : rows_of(json, "vg")) {
    groups.push_back({.name = text_of(row, "vg_name"),
                      .size_bytes = bytes_of(row, "vg_size"),
                      .free_bytes = bytes_of(row, "vg_free"),
                      .extent_bytes = bytes_of(row, "vg_extent_size"),
                      .missing_devices = static_cast<unsigned>(bytes_of(row, kMissing))});
  }
  return groups;
}

std::vector<ThinPool> parse_thin_pools(const std::string& json) {
  std::vector<ThinPool> pools;
  for (const Json& row : rows_of(json, "lv")) {
    if (text_of(row, "segtype") != "thin-pool") continue;
    ThinPool pool{.volume_group = text_of(row, "vg_name"),
                  .name = text_of(row, "lv_name"),
                  .size_bytes = bytes_of(row, "lv_size"),
                  .data_percent = 0,
                  .metadata_percent = 0,
                  .active = is_active(row),
                  .extent_bytes = bytes_of(row, "vg_extent_size"),
                  .missing_devices = static_cast<unsigned>(bytes_of(row, kMissing))};
    if (pool.active) {
      pool.data_percent = percent_of(row, "data_percent");
      pool.metadata_percent = percent_of(row, "metadata_percent");
    }
    pools.push_back(std::move(pool));
  }
  return pools;
}

std::vector<Dependent> parse_dependents(const std::string& json) {
  const std::vector<Json> rows = rows_of(json, "lv");
  std::map<std::string, std::string> pools;
  for (const Json& row : rows) pools[text_of(row, "lv_name")] = text_of(row, "pool_lv");
  std::vector<Dependent> dependents;
  for (const Json& row : rows) {
    Dependent one{.name = text_of(row, "lv_name"), .origin = text_of(row, "origin")};
    if (one.origin.empty()) continue;
    const std::string pool = text_of(row, "pool_lv");
    const auto origin = pools.find(one.origin);
    const bool is_thin_of_thin = !pool.empty() && origin != pools.end() && origin->second == pool;
    if (!is_thin_of_thin) dependents.push_back(std::move(one));
  }
  return dependents;
}

std::vector<std::string> parse_physical_volumes(const std::string& json,
                                                const std::string& volume_group) {
  std::vector<std::string> devices;
  for (const Json& row : rows_of(json, "pv")) {
    // A missing one is listed as "[unknown]".
    const std::string device = text_of(row, "pv_name");
    if (text_of(row, "vg_name") == volume_group && device.starts_with('/')) {
      devices.push_back(device);
    }
  }
  return devices;
}

std::string accept_only(const std::vector<std::string>& devices) {
  std::string filter;
  for (const std::string& device : devices) filter += "\"a|^" + pattern_of(device) + "$|\",";
  return "[" + filter + "\"r|.*|\"]";
}

std::string accept_disks() {
  return R"(["r|^/dev/drbd|","r|^/dev/loop|","r|^/dev/nbd|","r|^/dev/rbd|","r|^/dev/zd|","r|^/dev/plexvol/|"])";
}

}  // namespace plexvol::lvm
