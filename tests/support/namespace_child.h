// A process with a mount namespace of its own, as a container's: it does its part, says so, and
// stays until it is ended.
#pragma once

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

namespace plexvol::support {

class NamespaceChild {
 public:
  // `propagation`: MS_PRIVATE as a container's, MS_SLAVE as a service with PrivateTmp=. `part`
  // makes system calls only.
  explicit NamespaceChild(unsigned long propagation, const std::function<bool()>& part = {}) {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) throw std::runtime_error("cannot make a pipe");
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const bool done = unshare(CLONE_NEWNS) == 0 &&
                        mount(nullptr, "/", nullptr, MS_REC | propagation, nullptr) == 0 &&
                        (!part || part());
      const char answer = done ? 'y' : 'n';
      if (write(ends[1], &answer, 1) != 1) _exit(1);
      for (;;) pause();
    }
    char answer = 'n';
    const bool answered = read(ends[0], &answer, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    if (!answered || answer != 'y') {
      end();
      throw std::runtime_error("the child could not do its part");
    }
  }
  NamespaceChild(const NamespaceChild&) = delete;
  NamespaceChild& operator=(const NamespaceChild&) = delete;
  ~NamespaceChild() { end(); }

  pid_t pid() const { return pid_; }

  void end() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

// A folder whose mounts are passed on to slaves, as on hosts with systemd. The one around the tests
// may be private.
class SharedFolder {
 public:
  explicit SharedFolder(std::string path) : path_(std::move(path)) {
    if (mount("tmpfs", path_.c_str(), "tmpfs", 0, nullptr) != 0 ||
        mount(nullptr, path_.c_str(), nullptr, MS_SHARED, nullptr) != 0) {
      throw std::runtime_error("cannot make a shared mount on " + path_);
    }
  }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  ~SharedFolder() { umount2(path_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW); }

 private:
  std::string path_;
};

}  // namespace plexvol::support
