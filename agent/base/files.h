// Files that are read and written as a whole. What fails is told by errno; the caller knows what
// the file is for, and says it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace plexvol::base {

inline constexpr std::size_t kNoLimit = SIZE_MAX;

// The content of a file, or of a descriptor until its end; nullopt, with errno set, when it cannot
// be read or has more than `most` bytes (EFBIG).
std::optional<std::string> read_file(const std::string& path, std::size_t most = kNoLimit);
std::optional<std::string> read_all(int file, std::size_t most = kNoLimit);
// The first `most` bytes of the file. The descriptor's position is neither used nor changed.
std::optional<std::string> read_from_start(int file, std::size_t most = kNoLimit);

// false, with errno set: a part of it may have been written.
bool write_all(int file, std::string_view text);
bool write_all_at(int file, std::string_view text, std::uint64_t offset);

// After a rename or a mkdir: only then does the name survive a power cut.
bool sync_directory(const std::string& path);

// A new file beside it, synced, and renamed: whatever happens, the file has the old text or the new
// one, and when this returns true the new one is on the disk. The folder has to exist. The name of
// the one beside it begins with a dot.
bool replace_file(const std::string& path, std::string_view text, mode_t mode = 0600);

// "No such file or directory"
std::string error_text(int error_number);

}  // namespace plexvol::base
