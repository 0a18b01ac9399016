#include "agent/filesystem/mount_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"

namespace plexvol::filesystem {

class MountWatch::Impl {
 public:
  explicit Impl(std::function<void()> on_change)
      : on_change_(std::move(on_change)),
        table_(open("/proc/1/mountinfo", O_RDONLY | O_CLOEXEC)),
        stop_(eventfd(0, EFD_CLOEXEC)) {
    if (!table_.is_open() || !stop_.is_open()) {
      throw Error(ErrorCode::Internal,
                  "cannot watch /proc/1/mountinfo: " + base::error_text(errno));
    }
    thread_ = std::thread([this] { watch(); });
  }

  ~Impl() {
    const std::uint64_t one = 1;
    while (write(stop_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
    thread_.join();
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

 private:
  void watch() {
    for (;;) {
      std::array<pollfd, 2> waiting{{{.fd = table_.get(), .events = POLLPRI, .revents = 0},
                                     {.fd = stop_.get(), .events = POLLIN, .revents = 0}}};
      if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
      if (waiting[1].revents != 0) return;
      if (waiting[0].revents != 0) on_change_();
    }
  }

  std::function<void()> on_change_;
  base::Descriptor table_;
  base::Descriptor stop_;
  std::thread thread_;
};

MountWatch::MountWatch(std::function<void()> on_change)
    : impl_(std::make_unique<Impl>(std::move(on_change))) {}

MountWatch::~MountWatch() = default;

}  // namespace plexvol::filesystem
