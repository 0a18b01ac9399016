// A small file that others replace: a token, a certificate authority's certificate.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <mutex>
#include <optional>
#include <string>

namespace plexvol::kube {

// From any thread. Only stat(2) is called while the file stays the same.
class WatchedFile {
 public:
  // `what` is for messages: "token file". No messages hold the content.
  WatchedFile(std::string path, std::string what);

  // The content, read again when the file's identity, size or time of change differ, or when told
  // so. A file that cannot be read any more counts as unchanged; one that never could be read
  // throws Error(Internal), as does one of more than 1 MiB.
  std::string read(bool again = false);

 private:
  const std::string path_;
  const std::string what_;
  std::mutex mutex_;
  std::optional<struct stat> seen_;
  std::string content_;
};

}  // namespace plexvol::kube
