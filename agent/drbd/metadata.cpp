#include "agent/drbd/metadata.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <vector>

#include "agent/api/error.h"
#include "agent/base/text.h"
#include "agent/drbd/drbd.h"

namespace plexvol::drbd {
namespace {

constexpr std::uint64_t kSectorBytes = 512;
constexpr std::uint64_t kBlock = 4096;
// One bitmap block has a bit for each 4 KiB block of this much data.
constexpr std::uint64_t kDataPerBitmapBlock = kBlock * 8 * kBlock;
constexpr std::uint64_t kSuperblockBytes = kBlock;
constexpr std::uint64_t kActivityLogBytes = 8 * kBlock;  // one stripe of 32 KiB: DRBD's default
constexpr std::uint64_t kExtent = 1024 * kBlock;         // LVM's default
constexpr std::uint64_t kJustCreated = 4;                // UUID_JUST_CREATED of drbd.h
constexpr std::uint64_t kNewNineFlags = 0x80;            // MDF_AL_CLEAN
// MDF_CONSISTENT, MDF_WAS_UP_TO_DATE, MDF_AL_CLEAN
constexpr const char* kCleanFlags = "0x00000091";

[[noreturn]] void unknown_form(const std::string& what, const std::string& text) {
  throw Error(ErrorCode::Internal,
              fmt::format("drbdmeta {}: unknown output format: \"{}\"", what, text.substr(0, 200)));
}

std::string to_hex(std::uint64_t number) {
  constexpr const char* kDigits = "0123456789ABCDEF";
  std::string text(16, '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, number >>= 4U) {
    *digit = kDigits[number & 0xFU];
  }
  return text;
}

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// nullopt: not 1 to 16 hex digits and nothing else.
std::optional<std::uint64_t> parse_hex(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (error != std::errc{} || end != text.data() + text.size() || text.size() > 16) {
    return std::nullopt;
  }
  return number;
}

bool is_hex(std::string_view text) {
  return text.size() == 16 && parse_hex(text).has_value();
}

std::uint64_t round_up(std::uint64_t number, std::uint64_t unit) {
  return (number + unit - 1) / unit * unit;
}

std::uint64_t bitmap_size_bytes(std::uint64_t data_size_bytes) {
  return round_up(data_size_bytes, kDataPerBitmapBlock) / kDataPerBitmapBlock * kBlock;
}

bool is_eight_dump(const std::string& dump) {
  return dump.find("\nversion \"v08\";\n") != std::string::npos;
}

bool is_nine_dump(const std::string& dump) {
  return dump.find("\nversion \"v09\";\n") != std::string::npos;
}

}  // namespace

GenerationIdentifiers parse_generation_identifiers(const std::string& text) {
  const std::vector<std::string> parts = base::split(trim(text), ':');
  constexpr std::size_t kUuids = 4;
  if (parts.size() <= kUuids || !std::all_of(parts.begin(), parts.begin() + kUuids, is_hex)) {
    unknown_form("get-gi", text);
  }
  GenerationIdentifiers identifiers;
  identifiers.current = *parse_hex(parts[0]);
  const bool rest_unset = std::all_of(parts.begin() + 1, parts.end(), [](const std::string& part) {
    return part.find_first_not_of('0') == std::string::npos;
  });
  identifiers.blank = identifiers.current == kJustCreated && rest_unset;
  return identifiers;
}

GenerationIdentifiers parse_dump_identifiers(const std::string& dump) {
  const bool nine = is_nine_dump(dump);
  const std::size_t begin = dump.find(nine ? "\ncurrent-uuid 0x" : "\nuuid {");
  const std::size_t end = dump.find("\n# al-extents", begin);
  if ((!nine && !is_eight_dump(dump)) || end == std::string::npos) unknown_form("dump-md", dump);
  // The current UUID, then what is known of each peer and of the past, and flags: 9's come second.
  std::vector<std::uint64_t> numbers;
  std::istringstream past(dump.substr(begin, end - begin));
  for (std::string word; past >> word;) {
    if (!word.starts_with("0x")) continue;
    if (word.ends_with(';')) word.pop_back();
    const auto number = parse_hex(std::string_view(word).substr(2));
    if (!number) unknown_form("dump-md", word);
    numbers.push_back(*number);
  }
  constexpr std::size_t kLeast = 5;
  if (numbers.size() < kLeast) unknown_form("dump-md", dump);
  const bool rest_unset = std::all_of(numbers.begin() + 2, numbers.end(),
                                      [](std::uint64_t number) { return number == 0; });
  const bool second_unset = numbers[1] == (nine ? kNewNineFlags : 0);
  return {.current = numbers[0], .blank = numbers[0] == kJustCreated && second_unset && rest_unset};
}

std::uint64_t parse_current_uuid(const std::string& text) {
  // The kernel keeps "was primary" in the lowest bit.
  const std::uint64_t uuid = is_hex(text) ? *parse_hex(text) & ~std::uint64_t{1} : 0;
  if (uuid > kJustCreated) return uuid;
  throw Error(
      ErrorCode::InvalidArgument,
      fmt::format(
          "\"{}\" is not a DRBD current UUID: it must be 16 hex digits with a value above 5",
          text));
}

std::string fill_in_dump(const std::string& dump, std::uint64_t current_uuid,
                         std::uint64_t data_size_bytes) {
  const std::uint64_t sectors = data_size_bytes / kSectorBytes;
  // Given in full, to the end of its last block: with an empty bitmap drbdmeta leaves on the device
  // what an earlier user of this space wrote there, and the kernel would take that for blocks that
  // are out of sync.
  const std::uint64_t words = bitmap_size_bytes(data_size_bytes) / sizeof(std::uint64_t);
  const bool nine = is_nine_dump(dump);
  const std::string uuids_after =
      nine ? "" : " 0x0000000000000000; 0x0000000000000000; 0x0000000000000000;";
  const std::string uuid_key = nine ? "current-uuid 0x" : "0x";
  const std::string bitmap = nine ? "bitmap[0] {" : "bm {";
  const std::vector<std::pair<std::string, std::string>> changes{
      {uuid_key + to_hex(kJustCreated) + ";" + uuids_after,
       uuid_key + to_hex(current_uuid) + ";" + uuids_after},
      {nine ? "flags 0x00000080;" : "flags 0x00000000;", std::string("flags ") + kCleanFlags + ";"},
      {"la-size-sect 0;", "la-size-sect " + std::to_string(sectors) + ";"},
      {bitmap, bitmap + "\n    " + std::to_string(words) + " times 0x0000000000000000;"},
  };
  std::vector<int> seen(changes.size(), 0);
  std::string filled;
  for (const std::string& line : base::split(dump, '\n')) {
    const auto change = std::find_if(changes.begin(), changes.end(),
                                     [&](const auto& known) { return trim(line) == known.first; });
    if (change != changes.end()) ++seen[static_cast<std::size_t>(change - changes.begin())];
    filled += (change == changes.end() ? line : change->second) + "\n";
  }
  const bool each_once =
      std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; });
  if (!each_once || (!nine && !is_eight_dump(dump))) {
    unknown_form("dump-md of new metadata", dump);
  }
  return filled;
}

std::uint64_t exact_metadata_size_bytes(std::uint64_t data_size_bytes) {
  return kSuperblockBytes + kActivityLogBytes + bitmap_size_bytes(data_size_bytes);
}

std::uint64_t metadata_size_bytes(std::uint64_t data_size_bytes) {
  return round_up(exact_metadata_size_bytes(data_size_bytes), kExtent);
}

}  // namespace plexvol::drbd
