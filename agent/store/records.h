// Reading the store's records, and what becomes of one that this version cannot read.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "agent/api/error.h"
#include "agent/model/codec.h"
#include "agent/store/store.h"

namespace plexvol::store {

struct Unreadable {
  std::string key;
  std::string name;  // the key without its prefix
  std::string why;   // begins with the key
};

// All records of one kind that can be read, by what follows their prefix, and those that cannot:
// one of those must not keep everybody from using the others.
template <class T>
struct Listing {
  std::map<std::string, T> records;
  std::vector<Unreadable> unreadable;
};

[[noreturn]] void throw_unreadable(const std::string& key, const std::string& why);

// Throws Error(Internal): "volumes/v1: the record cannot be read: id is missing; ...".
template <class T>
T read_record(const Entry& entry) {
  try {
    T record = model::from_json<T>(entry.value);
    if constexpr (std::is_same_v<T, model::Volume> || std::is_same_v<T, model::Node>) {
      if (!entry.key.ends_with("/" + record.name)) {
        throw Error(ErrorCode::Internal, "it is the record of \"" + record.name + "\"");
      }
    }
    return record;
  } catch (const Error& error) {
    throw_unreadable(entry.key, error.what());
  }
}

// Warns of each record that cannot be read once, and again when it was written since. From any
// thread.
class UnreadableLog {
 public:
  void tell(const Entry& entry, const Error& error);

 private:
  std::mutex mutex_;
  std::map<std::string, std::int64_t> told_;  // revision by key
};

}  // namespace plexvol::store
