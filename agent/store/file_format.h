// The format of FileStore's one file. Pure: bytes in, a map out.
//
//   plexvol-store 1
//   record <revision> <bytes of body> <crc32 of body> <crc32 of this line up to here>
//   put <revision> <bytes of key> <bytes of value>
//   <key>
//   <value>
//   session ...            as put: a key that ended with the process that wrote it (0.1.0 did)
//   remove <bytes of key>
//   <key>
//   record ...
//
// The first record is the base: all that the map held when the file was made. Each following record
// is one transaction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plexvol::store {

struct Item {
  std::string value;
  std::int64_t revision = 0;
  bool session = false;
};

struct ItemChange {
  std::string key;
  std::optional<Item> item;  // nullopt: removed
};

struct Contents {
  std::int64_t revision = 0;  // of the last transaction
  std::map<std::string, Item> items;

  void apply(std::int64_t new_revision, const std::vector<ItemChange>& changes);
};

// One transaction, ready to be appended.
std::string to_record(std::int64_t revision, const std::vector<ItemChange>& changes);
// A whole file that holds these contents and no history.
std::string to_base(const Contents& contents);

struct ParsedFile {
  Contents contents;
  std::size_t good_bytes =
      0;  // less than all: an append was interrupted after them, and was never acknowledged
};

// A last record that an interrupted append can have left is left out: one that is cut short, or has
// sectors that were never written after its header. All other damage throws Error(Internal) with
// what and where, also zeros in the place of a header: how many records were there, and whether
// they were acknowledged, nobody can tell then.
ParsedFile parse_file(std::string_view bytes);

}  // namespace plexvol::store
