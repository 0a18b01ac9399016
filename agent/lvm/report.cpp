#include "agent/lvm/report.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/lvm/lvm.h"

namespace plexvol::lvm {

namespace {

using Json = nlohmann::json;

// lvm 2.03.16 prints numbers as strings, newer ones can print numbers.
std::string text_of(const Json& row, const char* field) {
  const auto found = row.find(field);
  if (found == row.end()) {
    throw Error(ErrorCode::Internal, std::string("lvm's report has no field ") + field);
  }
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number()) return found->dump();
  throw Error(ErrorCode::Internal, std::string("lvm's report has neither text nor number in ") +
                                       field + ": " + found->dump());
}

[[noreturn]] void throw_not_a_number(const char* field, const std::string& text) {
  throw Error(ErrorCode::Internal,
              std::string("lvm's report has no number in ") + field + ": " + in_quotes(text));
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

// The rows of {"report": [{"lv": [...]}]}.
std::vector<Json> rows_of(const std::string& json, const char* kind) {
  const Json root = Json::parse(json, nullptr, false);
  if (root.is_discarded() || !root.is_object() || !root.contains("report") ||
      !root["report"].is_array()) {
    throw Error(ErrorCode::Internal, "this is no report of lvm: " + in_quotes(json));
  }
  std::vector<Json> rows;
  for (const Json& report : root["report"]) {
    const auto found = report.find(kind);
    if (found == report.end() || !found->is_array()) {
      throw Error(ErrorCode::Internal, std::string("lvm's report has no part ") + kind);
    }
    rows.insert(rows.end(), found->begin(), found->end());
  }
  return rows;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::string part;
  for (const char character : text + separator) {
    if (character != separator) {
      part += character;
    } else if (!part.empty()) {
      parts.push_back(std::exchange(part, ""));
    }
  }
  return parts;
}

// The fifth letter of lv_attr. A suspended one (its lvm died half way) counts as inactive:
// activating resumes it.
bool is_active(const Json& row) {
  const std::string attributes = text_of(row, "lv_attr");
  if (attributes.size() < 6) {
    throw Error(ErrorCode::Internal, "lvm's report has a bad lv_attr: " + in_quotes(attributes));
  }
  return attributes[4] == 'a';
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
      pattern += std::string("[") + character + "]";
    } else {
      throw Error(ErrorCode::Unsupported, "the physical volume " + in_quotes(device) +
                                              " has a name that no device filter can name");
    }
  }
  return pattern;
}

}  // namespace

std::vector<LogicalVolume> parse_logical_volumes(const std::string& json) {
  std::vector<LogicalVolume> volumes;
  for (const Json& row : rows_of(json, "lv")) {
    LogicalVolume volume{.volume_group = text_of(row, "vg_name"),
                         .name = text_of(row, "lv_name"),
                         .path = text_of(row, "lv_path"),
                         .thin_pool = text_of(row, "pool_lv"),
                         .size_bytes = bytes_of(row, "lv_size"),
                         .tags = split(text_of(row, "lv_tags"), ','),
                         .active = is_active(row)};
    volumes.push_back(std::move(volume));
  }
  return volumes;
}

std::vector<VolumeGroup> parse_volume_groups(const std::string& json) {
  std::vector<VolumeGroup> groups;
  for (const Json& row : rows_of(json, "vg")) {
    groups.push_back({.name = text_of(row, "vg_name"),
                      .size_bytes = bytes_of(row, "vg_size"),
                      .free_bytes = bytes_of(row, "vg_free"),
                      .extent_bytes = bytes_of(row, "vg_extent_size")});
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
                  .active = is_active(row)};
    if (pool.active) {
      pool.data_percent = percent_of(row, "data_percent");
      pool.metadata_percent = percent_of(row, "metadata_percent");
    }
    pools.push_back(std::move(pool));
  }
  return pools;
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
