#include "agent/store/file_format.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <boost/crc.hpp>

#include "agent/api/error.h"

namespace plexvol::store {

namespace {

constexpr std::string_view kMagic = "plexvol-store ";
constexpr std::string_view kFirstLine = "plexvol-store 1\n";
constexpr std::string_view kRecordWord = "record ";
// Longer than any header: two numbers of up to 19 digits, two checksums and the words between.
constexpr std::size_t kMaxHeaderBytes = 80;
// A disk writes a sector as a whole or not at all.
constexpr std::size_t kSectorBytes = 512;

std::string checksum(std::string_view bytes) {
  boost::crc_32_type crc;
  crc.process_bytes(bytes.data(), bytes.size());
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(8, '0');
  std::uint32_t rest = crc.checksum();
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, rest >>= 4) {
    *digit = kDigits[rest & 0xfU];
  }
  return text;
}

void append_change(std::string& body, const ItemChange& change) {
  if (change.item) {
    body += change.item->session ? "session " : "put ";
    body += std::to_string(change.item->revision) + " " + std::to_string(change.key.size()) + " " +
            std::to_string(change.item->value.size()) + "\n" + change.key + "\n";
    body += change.item->value;
    body += '\n';
  } else {
    body += "remove " + std::to_string(change.key.size()) + "\n" + change.key + "\n";
  }
}

std::string with_header(std::int64_t revision, const std::string& body) {
  std::string record = std::string(kRecordWord) + std::to_string(revision) + " " +
                       std::to_string(body.size()) + " " + checksum(body) + " ";
  record += checksum(record);
  record += '\n';
  record += body;
  return record;
}

// Takes words, numbers and counted bytes from the front of a text; `good` turns false for good at
// the first that is not there.
class Cursor {
 public:
  explicit Cursor(std::string_view rest) : rest_(rest) {}

  std::string_view word(char end) {
    const std::size_t length = rest_.find(end);
    if (length == std::string_view::npos) {
      good_ = false;
      return {};
    }
    return bytes(length, end);
  }

  std::string_view bytes(std::size_t length, char end) {
    if (!good_ || length >= rest_.size() || rest_[length] != end) {
      good_ = false;
      return {};
    }
    const std::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(length + 1);
    return taken;
  }

  template <typename Number>
  Number number(char end) {
    const std::string_view digits = word(end);
    Number value = 0;
    const char* stop = digits.data() + digits.size();
    const auto [parsed, error] = std::from_chars(digits.data(), stop, value);
    if (error != std::errc() || parsed != stop || value < Number{0}) good_ = false;
    return value;
  }

  bool good() const { return good_; }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

struct Header {
  std::int64_t revision = 0;
  std::size_t header_bytes = 0;
  std::size_t body_bytes = 0;
  std::string_view body_checksum;
};

std::optional<Header> parse_header(std::string_view bytes) {
  if (!bytes.starts_with(kRecordWord)) return std::nullopt;
  const std::size_t line_end = bytes.substr(0, kMaxHeaderBytes).find('\n');
  if (line_end == std::string_view::npos) return std::nullopt;
  Header header;
  header.header_bytes = line_end + 1;
  Cursor cursor(bytes.substr(kRecordWord.size(), header.header_bytes - kRecordWord.size()));
  header.revision = cursor.number<std::int64_t>(' ');
  header.body_bytes = cursor.number<std::size_t>(' ');
  header.body_checksum = cursor.word(' ');
  const std::string_view own_checksum = cursor.word('\n');
  if (!cursor.good() || own_checksum.size() > line_end) return std::nullopt;
  const std::string_view covered = bytes.substr(0, line_end - own_checksum.size());
  return own_checksum == checksum(covered) ? std::optional(header) : std::nullopt;
}

std::optional<std::vector<ItemChange>> parse_body(std::string_view body) {
  std::vector<ItemChange> changes;
  Cursor cursor(body);
  while (!cursor.at_end()) {
    ItemChange change;
    const std::string_view word = cursor.word(' ');
    if (word == "remove") {
      change.key = cursor.bytes(cursor.number<std::size_t>('\n'), '\n');
    } else if (word == "put" || word == "session") {
      Item item;
      item.session = word == "session";
      item.revision = cursor.number<std::int64_t>(' ');
      const auto key_bytes = cursor.number<std::size_t>(' ');
      const auto value_bytes = cursor.number<std::size_t>('\n');
      change.key = cursor.bytes(key_bytes, '\n');
      item.value = cursor.bytes(value_bytes, '\n');
      change.item = std::move(item);
    } else {
      return std::nullopt;
    }
    if (!cursor.good() || change.key.empty()) return std::nullopt;
    changes.push_back(std::move(change));
  }
  return changes;
}

[[noreturn]] void refuse(std::size_t offset, const std::string& what) {
  throw Error(ErrorCode::Internal,
              fmt::format("the store's file is damaged at byte {}: {}", offset, what));
}

bool has_record_after(std::string_view bytes, std::size_t offset) {
  const std::string marker = "\n" + std::string(kRecordWord);
  for (std::size_t at = bytes.find(marker, offset); at != std::string_view::npos;
       at = bytes.find(marker, at + 1)) {
    if (parse_header(bytes.substr(at + 1))) return true;
  }
  return false;
}

// Only an append whose data did not reach the disk leaves them: everything we write is text.
bool has_unwritten_sector(std::string_view bytes, std::size_t offset) {
  while (offset < bytes.size()) {
    const std::size_t sector_end = (offset / kSectorBytes + 1) * kSectorBytes;
    const std::string_view part = bytes.substr(offset, sector_end - offset);
    if (std::ranges::all_of(part, [](char byte) { return byte == '\0'; })) return true;
    offset = sector_end;
  }
  return false;
}

// Returns when what begins at `offset` is the rest of one interrupted append. All before that
// append were acknowledged, so the rest must be shown to be of one record only: by its header.
void check_is_torn(std::string_view bytes, std::size_t offset) {
  if (has_record_after(bytes, offset)) {
    refuse(offset, "a record is not readable, but complete records follow it");
  }
  const std::string_view tail = bytes.substr(offset);
  const std::optional<Header> header = parse_header(tail);
  if (!header) {
    // Two whole records do not fit into this.
    if (tail.size() < kMaxHeaderBytes && tail.find('\n') == std::string_view::npos) return;
    refuse(offset,
           fmt::format(
               "no record begins there, so it is unknown how many there were and whether they "
               "were acknowledged; restore the file from a backup, or truncate it there, which "
               "loses {} bytes of transactions",
               tail.size()));
  }
  const std::size_t record_bytes = header->header_bytes + header->body_bytes;
  if (tail.size() < record_bytes) return;
  if (tail.size() == record_bytes && has_unwritten_sector(bytes, offset)) return;
  refuse(offset,
         tail.size() == record_bytes
             ? "the last record is complete but its checksum is wrong, so it may have been "
               "acknowledged; truncating the file there loses that one transaction"
             : "a record is not readable, but was acknowledged, because another one was begun "
               "after it; truncating the file there loses this record and all after it");
}

struct Record {
  std::int64_t revision = 0;
  std::vector<ItemChange> changes;
  std::size_t bytes = 0;
};

std::optional<Record> parse_record(std::string_view bytes) {
  const std::optional<Header> header = parse_header(bytes);
  if (!header || bytes.size() - header->header_bytes < header->body_bytes) return std::nullopt;
  const std::string_view body = bytes.substr(header->header_bytes, header->body_bytes);
  if (checksum(body) != header->body_checksum) return std::nullopt;
  std::optional<std::vector<ItemChange>> changes = parse_body(body);
  if (!changes) return std::nullopt;
  return Record{header->revision, std::move(*changes), header->header_bytes + header->body_bytes};
}

}  // namespace

void Contents::apply(std::int64_t new_revision, const std::vector<ItemChange>& changes) {
  revision = new_revision;
  for (const ItemChange& change : changes) {
    if (change.item) {
      items.insert_or_assign(change.key, *change.item);
    } else {
      items.erase(change.key);
    }
  }
}

std::string to_record(std::int64_t revision, const std::vector<ItemChange>& changes) {
  std::string body;
  for (const ItemChange& change : changes) append_change(body, change);
  return with_header(revision, body);
}

std::string to_base(const Contents& contents) {
  std::string body;
  for (const auto& [key, item] : contents.items) append_change(body, {key, item});
  return std::string(kFirstLine) + with_header(contents.revision, body);
}

ParsedFile parse_file(std::string_view bytes) {
  if (bytes.starts_with(kMagic) && !bytes.starts_with(kFirstLine) && bytes.size() > kMagic.size()) {
    refuse(0, "its format is not 1: a newer version of plexvold wrote it");
  }
  if (!bytes.starts_with(kFirstLine)) refuse(0, "it is not a store's file");
  ParsedFile parsed;
  std::size_t offset = kFirstLine.size();
  // The base was synced before the file got its name, so no crash can have torn it.
  const std::optional<Record> base = parse_record(bytes.substr(offset));
  if (!base) refuse(offset, "the base record is not readable");
  parsed.contents.apply(base->revision, base->changes);
  offset += base->bytes;
  while (offset < bytes.size()) {
    const std::optional<Record> record = parse_record(bytes.substr(offset));
    if (!record) {
      check_is_torn(bytes, offset);
      break;
    }
    if (record->revision <= parsed.contents.revision) {
      refuse(offset,
             fmt::format("revision {} follows {}", record->revision, parsed.contents.revision));
    }
    parsed.contents.apply(record->revision, record->changes);
    offset += record->bytes;
  }
  parsed.good_bytes = offset;
  return parsed;
}

}  // namespace plexvol::store
