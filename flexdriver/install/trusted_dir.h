// Directories and files that nobody but root can have put there.
//
// The installer runs as root, writes below directories that it is told of, and executes what it
// finds there. So a path is walked from its root one component at a time, each component is
// checked, and all that follows goes through the descriptor of the directory that was reached: no
// path is looked up a second time, and nobody can swap a component meanwhile.
//
// Trusted is what belongs to root, or to the user who runs us, and what neither its group nor
// others may write to. A sticky bit is no excuse: it keeps nobody from adding names.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/descriptor.h"

namespace plexvol::driver {

// What a walk does about a directory that is not there.
enum class Missing { Refuse, Make };

class TrustedDir {
 public:
  // `path` is the caller's word and is opened as it stands ("" is /); it must be trusted itself.
  static TrustedDir open_root(const std::string& path);
  // A directory that is open already: the root of a process. Throws like walk().
  static TrustedDir adopt_root(base::Descriptor directory, const std::string& path);

  // The directory `path` below this one. Symbolic links are resolved here, within this directory as
  // their root, when they are root's. Throws Conflict when a component is not trusted, with whose
  // it is and what to do; NotFound when it does not exist; Internal when the system fails.
  TrustedDir walk(const std::string& path, Missing missing = Missing::Refuse) const;
  // std::nullopt: there is no such directory. Else as walk().
  std::optional<TrustedDir> find(const std::string& path) const;
  // One name in this directory, never a symbolic link. Else as find().
  std::optional<TrustedDir> find_child(const std::string& name) const;

  // A regular, trusted file, read to its end. std::nullopt: there is none. Throws Conflict for
  // anything else of that name, or one of more than `most` bytes. Never waits: a FIFO is refused.
  std::optional<std::string> read(const std::string& name, std::size_t most) const;
  // The same by a path, walked as by walk().
  std::optional<std::string> read_path(const std::string& path, std::size_t most) const;
  // The file itself, to be executed or compared. std::nullopt and exceptions as for read().
  std::optional<base::Descriptor> open_file(const std::string& name) const;

  // A new file, on the disk when it returns. Whatever had the name loses it: other names of that
  // file, or the target of that link, stay as they are. A directory is refused.
  void write(const std::string& name, const std::string& text, mode_t mode) const;
  void rename(const std::string& from, const std::string& to) const;
  // `name` becomes one more name of `file`; whatever had it loses it.
  void link(const std::string& file, const std::string& name) const;
  // No matter whether it is there; never a directory.
  void remove(const std::string& name) const;
  void make_child(const std::string& name) const;
  // A directory with files in it, as the installer makes them, or an empty one; no matter whether
  // it is there. Throws Conflict when it is a symbolic link or not trusted: nothing is removed
  // then.
  void remove_child(const std::string& name) const;

  bool has(const std::string& name) const;
  std::vector<std::string> list() const;
  struct stat info() const;

  int fd() const { return directory_.get(); }
  // For messages: with the path of the root, as the caller gave it.
  const std::string& path() const { return path_; }
  std::string path_of(const std::string& name) const { return path_ + '/' + name; }

 private:
  TrustedDir(base::Descriptor directory, std::string path)
      : directory_(std::move(directory)), path_(std::move(path)) {}

  base::Descriptor directory_;
  std::string path_;  // without a slash at its end: "" for /
};

// Throws Internal: "cannot WHAT PATH: why", with what to do where that is known.
[[noreturn]] void fail(const std::string& what, const std::string& path);

}  // namespace plexvol::driver
