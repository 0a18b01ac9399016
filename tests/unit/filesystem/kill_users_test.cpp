#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

#include "agent/process/proc.h"
#include "tests/support/loop_device.h"
#include "tests/support/namespace_child.h"
#include "tests/unit/filesystem/formatted_volume.h"

using plexvol::support::can_use_loop_devices;
using plexvol::support::Mount;
using plexvol::support::NamespaceChild;

namespace {

struct KilledVolume : plexvol::filesystem::FormattedVolume {
  Mount mounted{device.path(), point, "ext4"};

  std::size_t users() const { return use().users.size(); }
};

int signal_that_ended(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace

TEST_CASE("all who use a device are killed, in whatever mount namespace, and nobody else") {
  if (!can_use_loop_devices()) return;
  const KilledVolume volume;
  const std::string path = volume.point + "/file";
  const char* file = path.c_str();
  const NamespaceChild opener(MS_SLAVE, [=] { return open(file, O_RDWR | O_CREAT, 0600) >= 0; });
  const NamespaceChild container(MS_PRIVATE);
  const NamespaceChild bystander(MS_SLAVE);
  CHECK(volume.users() == 2);
  volume.kill();
  CHECK(signal_that_ended(opener.pid()) == SIGKILL);
  CHECK(signal_that_ended(container.pid()) == SIGKILL);
  CHECK(waitpid(bystander.pid(), nullptr, WNOHANG) == 0);
  CHECK(volume.users() == 0);
  volume.kill();
}

TEST_CASE("a user whose first thread has ended is seen and killed, too") {
  if (!can_use_loop_devices()) return;
  const KilledVolume volume;
  const std::string path = volume.point + "/file";
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  const pid_t child = fork();
  if (child == 0) {
    if (open(path.c_str(), O_RDWR | O_CREAT, 0600) < 0) _exit(1);
    std::thread([&] {
      const char ready = 'y';
      if (write(ends[1], &ready, 1) != 1) _exit(1);
      for (;;) pause();
    }).detach();
    syscall(SYS_exit, 0);
  }
  char answer = 0;
  REQUIRE(read(ends[0], &answer, 1) == 1);
  close(ends[0]);
  close(ends[1]);
  const std::string stat = "/proc/" + std::to_string(child) + "/stat";
  while (plexvol::process::parse_stat(plexvol::process::read_text_file(stat))->state != 'Z') {
    std::this_thread::yield();
  }
  CHECK(volume.users() == 1);
  volume.kill();
  CHECK(signal_that_ended(child) == SIGKILL);
  CHECK(volume.users() == 0);
}
