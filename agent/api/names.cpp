#include "agent/api/names.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "agent/api/error.h"
#include "agent/api/text.h"

namespace plexvol {

namespace {

constexpr std::size_t kMaxVolumeName = 63;
constexpr std::size_t kMaxNodeName = 253;
constexpr std::size_t kMaxNamespace = 63;
constexpr std::size_t kMaxPoolName = 63;
constexpr std::uint64_t kMiB = 1ULL << 20U;
constexpr std::uint64_t kMinSize = 16 * kMiB;
constexpr std::uint64_t kMaxSize = 1ULL << 50U;
constexpr std::uint64_t kExtent = 4 * kMiB;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_alphanumeric(char c) {
  return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z');
}

struct Rule {
  const char* what;
  const char* allowed;
};
constexpr Rule kVolumeRule{
    "volume name",
    "1 to 63 letters, digits, '.', '_' and '-', the first and last a letter or digit"};
constexpr Rule kNodeRule{"node name",
                         "1 to 253 lower-case letters, digits, '-' and '.', each part beginning "
                         "and ending with a letter "
                         "or digit"};
constexpr Rule kNamespaceRule{
    "namespace",
    "1 to 63 lower-case letters, digits and '-', the first and last a letter or digit"};
constexpr Rule kPoolRule{"pool name", "1 to 63 letters, digits, '.', '_' and '-'"};

[[noreturn]] void refuse(const Rule& rule, std::string_view name, const std::string& why) {
  throw Error(ErrorCode::InvalidArgument, std::string(rule.what) + ' ' + in_quotes(name) + ' ' +
                                              why + "; allowed are " + rule.allowed);
}

void check_length(const Rule& rule, std::string_view name, std::size_t most) {
  if (name.empty()) refuse(rule, name, "is empty");
  if (name.size() > most) {
    refuse(rule, name, "has " + std::to_string(name.size()) + " characters");
  }
}

template <class Allowed>
void check_characters(const Rule& rule, std::string_view name, Allowed allowed) {
  const auto* bad = std::find_if_not(name.begin(), name.end(), allowed);
  if (bad != name.end()) refuse(rule, name, "holds " + in_quotes(std::string_view(bad, 1)));
}

bool is_name_character(char c) {
  return is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
}

// lvm2 keeps names that begin with the first two, or hold one of the others, for its own use (lvm2:
// lib/misc/lvm-string.c).
constexpr std::array kReservedStarts{"snapshot", "pvmove"};
constexpr std::array kReservedParts{"_cdata", "_cmeta",  "_corig", "_cpool",   "_cvol",   "_imeta",
                                    "_iorig", "_mimage", "_mlog",  "_pmspare", "_rimage", "_rmeta",
                                    "_tdata", "_tmeta",  "_vdata", "_vorigin", "_wcorig"};

// drbdadm takes them for the section of that name, quoted or not. In quotes, as our configuration
// has them, it takes all the other words of its language for names.
constexpr std::array<std::string_view, 2> kDrbdSections{"global", "common"};

bool is_drbd_object(std::string_view name) {
  constexpr std::string_view kMinor = "minor-";
  return name == "all" || (name.starts_with(kMinor) && name.size() > kMinor.size() &&
                           std::all_of(name.begin() + kMinor.size(), name.end(), is_digit));
}

void check_reserved(std::string_view name) {
  for (const std::string_view start : kReservedStarts) {
    if (name.starts_with(start)) {
      refuse(kVolumeRule, name,
             "begins with " + in_quotes(start) + ", which lvm2 keeps for itself");
    }
  }
  for (const std::string_view part : kReservedParts) {
    if (name.find(part) != std::string_view::npos) {
      refuse(kVolumeRule, name, "holds " + in_quotes(part) + ", which lvm2 keeps for itself");
    }
  }
  if (is_drbd_object(name)) refuse(kVolumeRule, name, "has a meaning of its own for DRBD");
}

struct Unit {
  std::string_view suffix;
  std::uint64_t bytes;
};
constexpr std::array kUnits{
    Unit{"Ki", 1ULL << 10U},
    Unit{"Mi", kMiB},
    Unit{"Gi", 1ULL << 30U},
    Unit{"Ti", 1ULL << 40U},
    Unit{"Pi", 1ULL << 50U},
    Unit{"k", 1ULL << 10U},
    Unit{"m", kMiB},
    Unit{"g", 1ULL << 30U},
    Unit{"t", 1ULL << 40U},
    Unit{"K", 1'000},
    Unit{"M", 1'000'000},
    Unit{"G", 1'000'000'000},
    Unit{"T", 1'000'000'000'000},
    Unit{"P", 1'000'000'000'000'000},
    Unit{"", 1},
};

[[noreturn]] void refuse_size(std::string_view text, const std::string& why) {
  throw Error(ErrorCode::InvalidArgument,
              "size " + in_quotes(text) + ' ' + why + "; write it like 10Gi, 500M or 1073741824");
}

// The digits at the front, taken off; saturates, since anything that long is refused as too large
// anyway.
std::uint64_t take_number(std::string_view& text) {
  constexpr std::uint64_t kTooLarge = kMaxSize * 2;
  std::uint64_t number = 0;
  while (!text.empty() && is_digit(text.front())) {
    number = std::min(kTooLarge, number * 10 + static_cast<std::uint64_t>(text.front() - '0'));
    text.remove_prefix(1);
  }
  return number;
}

// unit * 0.digits, rounded up, without leaving 64 bits: `digits` has at most nine.
std::uint64_t fraction_of(std::uint64_t unit, std::string_view digits) {
  std::uint64_t scale = 1;
  for (std::size_t i = 0; i < digits.size(); ++i) scale *= 10;
  const std::uint64_t number = take_number(digits);
  return (unit / scale) * number + ((unit % scale) * number + scale - 1) / scale;
}

}  // namespace

void check_volume_name(std::string_view name) {
  check_length(kVolumeRule, name, kMaxVolumeName);
  check_characters(kVolumeRule, name, is_name_character);
  if (!is_alphanumeric(name.front())) refuse(kVolumeRule, name, "begins with a sign");
  if (!is_alphanumeric(name.back())) refuse(kVolumeRule, name, "ends with a sign");
  if (name.find("..") != std::string_view::npos) refuse(kVolumeRule, name, "holds \"..\"");
  if (name.ends_with(".meta")) {
    refuse(kVolumeRule, name, "ends with \".meta\", which names DRBD's metadata");
  }
  if (std::all_of(name.begin(), name.end(), is_digit)) {
    refuse(kVolumeRule, name, "is a number, which DRBD's tools take for a minor");
  }
  check_reserved(name);
}

void check_new_volume_name(std::string_view name) {
  check_volume_name(name);
  if (std::find(kDrbdSections.begin(), kDrbdSections.end(), name) != kDrbdSections.end()) {
    refuse(kVolumeRule, name, "is a section of DRBD's configuration");
  }
}

void check_namespace(std::string_view name) {
  check_length(kNamespaceRule, name, kMaxNamespace);
  check_characters(kNamespaceRule, name,
                   [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
  if (name.front() == '-' || name.back() == '-') {
    refuse(kNamespaceRule, name, "begins or ends with '-'");
  }
}

void check_node_name(std::string_view name) {
  check_length(kNodeRule, name, kMaxNodeName);
  check_characters(kNodeRule, name,
                   [](char c) { return is_lower(c) || is_digit(c) || c == '-' || c == '.'; });
  for (std::size_t at = 0; at < name.size(); ++at) {
    const bool first = at == 0 || name[at - 1] == '.';
    const bool last = at + 1 == name.size() || name[at + 1] == '.';
    if ((first || last) && (name[at] == '-' || name[at] == '.')) {
      refuse(kNodeRule, name, "has a part that is empty or begins or ends with '-'");
    }
  }
}

void check_pool_name(std::string_view name) {
  check_length(kPoolRule, name, kMaxPoolName);
  check_characters(kPoolRule, name, is_name_character);
  if (name == "." || name == ".." || name.front() == '-') {
    refuse(kPoolRule, name, "is \".\" or \"..\" or begins with '-'");
  }
}

std::string volume_label(std::string_view volume) {
  return std::string(kVolumeLabelPrefix).append(volume);
}

bool is_volume_label(std::string_view key, std::string& volume) {
  const std::string_view prefix = kVolumeLabelPrefix;
  if (!key.starts_with(prefix)) return false;
  const std::string_view name = key.substr(prefix.size());
  try {
    check_volume_name(name);
  } catch (const Error&) {
    return false;
  }
  volume = name;
  return true;
}

std::uint64_t parse_size_bytes(std::string_view text) {
  std::string_view rest = text;
  if (rest.empty() || !is_digit(rest.front())) refuse_size(text, "does not begin with a digit");
  const std::uint64_t whole = take_number(rest);
  std::string_view digits;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    digits = rest;
    take_number(rest);
    digits.remove_suffix(rest.size());
    if (digits.empty() || digits.size() > 9)
      refuse_size(text, "needs 1 to 9 digits after the point");
  }
  const auto* unit = std::find_if(kUnits.begin(), kUnits.end(),
                                  [rest](const Unit& known) { return known.suffix == rest; });
  if (unit == kUnits.end()) refuse_size(text, "has the unknown unit " + in_quotes(rest));
  if (whole > kMaxSize / unit->bytes) refuse_size(text, "is more than 1Pi");
  const std::uint64_t bytes = whole * unit->bytes + fraction_of(unit->bytes, digits);
  if (bytes > kMaxSize) refuse_size(text, "is more than 1Pi");
  if (bytes < kMinSize) refuse_size(text, "is less than 16Mi");
  return (bytes + kExtent - 1) / kExtent * kExtent;
}

std::string size_to_text(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> kSuffixes{"Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  if (bytes < 1024) return std::to_string(bytes);
  std::size_t index = 0;
  std::uint64_t unit = 1024;
  while (index + 1 < kSuffixes.size() && bytes / unit >= 1024) {
    unit *= 1024;
    ++index;
  }
  const std::uint64_t tenths = bytes % unit * 10 / unit;
  std::string text = std::to_string(bytes / unit);
  if (tenths != 0) text += '.' + std::to_string(tenths);
  return text + kSuffixes.at(index);
}

}  // namespace plexvol
