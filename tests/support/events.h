// Waiting for other processes without sleeping: a fifo says what was written to it, and ends when
// its last writer ends.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <string>

namespace plexvol::support {

class Fifo {
 public:
  explicit Fifo(std::string path) : path_(std::move(path)) {
    if (mkfifo(path_.c_str(), 0600) != 0) throw std::runtime_error("cannot make " + path_);
    reader_ = open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  }
  Fifo(const Fifo&) = delete;
  Fifo& operator=(const Fifo&) = delete;
  ~Fifo() { close(reader_); }

  const std::string& path() const { return path_; }

  std::string read_line(std::chrono::milliseconds limit = std::chrono::seconds(30)) const {
    std::string line;
    for (char letter = 0; wait(limit) && read(reader_, &letter, 1) == 1 && letter != '\n';) {
      line += letter;
    }
    return line;
  }

  // After a line was read: every process that has it open for writing has ended.
  bool ends_within(std::chrono::milliseconds limit = std::chrono::seconds(30)) const {
    char letter = 0;
    return wait(limit) && read(reader_, &letter, 1) == 0;
  }

 private:
  bool wait(std::chrono::milliseconds limit) const {
    pollfd waiting{reader_, POLLIN, 0};
    return poll(&waiting, 1, static_cast<int>(limit.count())) == 1;
  }

  std::string path_;
  int reader_ = -1;
};

}  // namespace plexvol::support
