// System calls that may hang in the kernel (mount and umount of a volume that is frozen), made by a
// child process, so that the call itself still ends in time.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "agent/base/deadline.h"
#include "agent/base/descriptor.h"

namespace plexvol::mounts {

// Short messages with whoever is at the other end of a socket.
class Channel {
 public:
  explicit Channel(base::Descriptor socket) : socket_(std::move(socket)) {}
  // false: nobody is there any more.
  bool send(const std::string& message) const;
  // nullopt: nobody is there any more, or nothing came before the deadline.
  std::optional<std::string> receive(std::optional<base::Deadline> deadline) const;
  void close() { socket_.reset(); }

 private:
  base::Descriptor socket_;
};

// The child holds none of the standard descriptors: the kubelet would wait for it (contract fact
// 9). It keeps all others: the lock on the target and the agent's connection stay as long as its
// system call does, whatever becomes of the driver.
class Child {
 public:
  // Throws Internal when there can be no process.
  explicit Child(const std::function<void(Channel&)>& work);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  Channel& channel() { return channel_; }
  // false: it still runs at the deadline.
  bool wait(base::Deadline deadline);

 private:
  Channel channel_;
  pid_t pid_ = -1;
};

}  // namespace plexvol::mounts
