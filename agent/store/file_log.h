// The file of a FileStore on disk: one process at a time, every append durable when it returns.
//
// Not for several threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/descriptor.h"
#include "agent/store/file_format.h"

namespace plexvol::store {

class FileLog {
 public:
  // Makes the directory (mode 0700: the values hold secrets) and the file when they are missing.
  // Throws Error(Conflict) when another FileLog has the directory open and keeps it for 2 s,
  // Error(Internal) when the file is damaged or cannot be used.
  explicit FileLog(std::filesystem::path directory);

  // What the file held, to be taken once.
  Contents take_contents();
  // Empty, or what was left out at the opening and why.
  const std::string& opening_note() const { return opening_note_; }

  // Throws Error(OutOfSpace) or Error(Internal): nothing was written; Error(Unavailable): it is not
  // known whether it was, and this object is of no use any more (all further calls throw the same):
  // only reading the file again tells.
  void append(std::int64_t revision, const std::vector<ItemChange>& changes);

  // Makes the file anew without history and sessions when the history has become the larger part of
  // it. Failures leave the file as it was and are tried again later; only one after which it is not
  // known which file is in place breaks the object.
  void compact_if_large(const Contents& contents);

  void check_usable() const;

 private:
  void lock();
  void read();
  void write_base(const Contents& contents);
  void undo_append(int error);
  [[noreturn]] void become_unusable(const std::string& what, int error);

  std::filesystem::path directory_;
  std::filesystem::path path_;
  base::Descriptor lock_;
  base::Descriptor file_;
  std::uint64_t size_ = 0;
  std::uint64_t compact_at_ = 0;
  Contents contents_;
  std::string opening_note_;
  std::string unusable_;
};

}  // namespace plexvol::store
