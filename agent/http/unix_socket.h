// Unix sockets: who may listen on a path, who is calling, and reads and writes that end in time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/descriptor.h"

namespace plexvol::http {

using Deadline = std::chrono::steady_clock::time_point;

// A listening socket of mode 0600. There is no moment at which it has wider rights or refuses a
// caller: it listens under another name and is then renamed, over what a dead agent left behind. A
// lock on `<path>.lock` keeps a second agent away from a socket that is served; the lock file
// stays. Every name that is used begins as the path's own last part does, so in the driver's
// directory a name with a leading dot is never seen by the kubelet.
// The right to serve a path, which one process has at a time.
class SocketLock {
 public:
  // Makes the folder (0755) when it is missing. Throws Conflict when another process serves the
  // path, Internal when the system refuses.
  explicit SocketLock(std::string path);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  base::Descriptor lock_;
};

class Listener {
 public:
  // Throws InvalidArgument when the path is too long for a socket, Internal when the system
  // refuses.
  explicit Listener(SocketLock lock);
  Listener(Listener&&) = default;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  Listener& operator=(Listener&&) = delete;
  ~Listener();  // removes the socket

  int fd() const { return socket_.get(); }

 private:
  void listen_and_rename();

  SocketLock lock_;
  base::Descriptor socket_;
};

struct Peer {
  uid_t uid = 0;
  pid_t pid = 0;  // 0 when the caller lives in a process namespace that we do not see
};
Peer peer_of(int socket);

// The caller has closed its end; one that only shut down its writing side still waits.
bool caller_left(int socket);

enum class ReadResult { Data, Closed, TimedOut };

// Appends what there is to `buffer`, waiting for the first byte until `deadline`. A broken
// connection reads as Closed.
ReadResult read_some(int socket, std::string& buffer, Deadline deadline);
// false: not all of it could be written before the deadline, or the caller is gone.
bool write_all(int socket, std::string_view text, Deadline deadline);

}  // namespace plexvol::http
