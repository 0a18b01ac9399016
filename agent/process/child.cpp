#include "agent/process/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>

#include "agent/api/error.h"
#include "agent/base/files.h"
#include "agent/base/fork.h"

namespace plexvol::process {

namespace {

constexpr int kFirstOfOurs = 3;
constexpr int kDefaultLimit = 1024;
constexpr unsigned kCloseRangeCloexec = 1U
                                        << 2;  // CLOSE_RANGE_CLOEXEC, not in older kernel headers

bool mark_range() {
#ifdef SYS_close_range
  return syscall(SYS_close_range, kFirstOfOurs, ~0U, kCloseRangeCloexec) == 0;
#else
  return false;
#endif
}

// Kernels without close_range(2) are asked for each of as many as a program may open by default.
void close_from(int first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, ~0U, 0) == 0) return;
#endif
  for (int number = first; number < kDefaultLimit; ++number) close(number);
}

// What getdents64(2) fills in; opendir(3) would allocate memory.
struct RawEntry {
  std::uint64_t inode;
  std::int64_t next;
  std::uint16_t length;
  std::uint8_t type;
};
constexpr std::size_t kNameOffset = 19;

int parse_number(const char* name) {
  int number = 0;
  for (; *name >= '0' && *name <= '9'; ++name) number = number * 10 + (*name - '0');
  return *name == '\0' ? number : -1;
}

struct Abandoned {
  std::mutex mutex;
  std::map<pid_t, std::string> children;  // and their subjects
};

Abandoned& abandoned() {
  static Abandoned instance;
  return instance;
}

bool hangs_already(const std::string& subject) {
  Abandoned& all = abandoned();
  const std::lock_guard lock(all.mutex);
  return std::any_of(all.children.begin(), all.children.end(),
                     [&](const auto& child) { return child.second == subject; });
}
// Memory that a child shares with us: how many things it has looked at, and what it found.
class Board {
 public:
  explicit Board(std::size_t count) : bytes_(sizeof(std::atomic<std::size_t>) + count) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) {
      throw Error(ErrorCode::Unavailable, "no memory for a child: " + base::error_text(errno));
    }
    done_ = new (memory_) std::atomic<std::size_t>(0);
  }
  ~Board() { munmap(memory_, bytes_); }
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  // A child that was killed a moment ago may still make a step beside the next child.
  void put(std::size_t at, int finding) {
    findings()[at] = static_cast<std::uint8_t>(finding);
    std::size_t done = done_->load();
    while (done < at + 1 && !done_->compare_exchange_weak(done, at + 1)) {
    }
  }
  std::size_t done() const { return done_->load(); }
  int finding(std::size_t at) const { return findings()[at]; }

 private:
  std::uint8_t* findings() const {
    return static_cast<std::uint8_t*>(memory_) + sizeof(std::atomic<std::size_t>);
  }

  std::size_t bytes_;
  void* memory_ = nullptr;
  std::atomic<std::size_t>* done_ = nullptr;
};

}  // namespace

void mark_descriptors_close_on_exec() {
  if (!mark_range()) mark_listed_descriptors_close_on_exec();
}

void mark_listed_descriptors_close_on_exec() {
  const int folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  std::array<char, 4096> buffer{};
  for (;;) {
    const long count = syscall(SYS_getdents64, folder, buffer.data(), buffer.size());
    if (count <= 0) break;
    for (long at = 0; at < count;) {
      RawEntry entry{};
      memcpy(&entry, buffer.data() + at, kNameOffset);
      const int number = parse_number(buffer.data() + at + kNameOffset);
      if (number >= kFirstOfOurs) fcntl(number, F_SETFD, FD_CLOEXEC);
      at += entry.length;
    }
  }
  close(folder);
}

void prepare_child(pid_t parent) {
  setpgid(0, 0);
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it ended before we asked to be told
}

std::optional<int> run_in_child(const std::function<int()>& work, std::chrono::milliseconds limit,
                                const std::string& subject) {
  reap_abandoned();
  if (!subject.empty() && hangs_already(subject)) return std::nullopt;
  auto pipe = base::make_pipe();
  if (!pipe) throw Error(ErrorCode::Internal, "cannot make a pipe: " + base::error_text(errno));
  const pid_t parent = getpid();
  const pid_t child = base::fork_child([&] {
    prepare_child(parent);
    // Its end of this pipe is the only descriptor it keeps: it must not hold other tools' pipes
    // open if it hangs.
    const int kept = dup2(pipe->write_end.get(), kFirstOfOurs);
    close_from(kept + 1);
    return work();
  });
  if (child < 0) throw Error(ErrorCode::Internal, "cannot fork: " + base::error_text(errno));
  pipe->write_end.reset();
  pollfd waiting{.fd = pipe->read_end.get(), .events = POLLIN, .revents = 0};
  const auto deadline = std::chrono::steady_clock::now() + limit;
  int ready = 0;
  do {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    ready = poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) {
    kill(child, SIGKILL);
    abandon(child, subject);
    return std::nullopt;
  }
  const auto status = base::wait_for_end(child);
  if (!status || !WIFEXITED(*status)) return std::nullopt;
  return WEXITSTATUS(*status);
}

std::vector<std::optional<int>> look_in_children(std::size_t count,
                                                 const std::function<int(std::size_t)>& look,
                                                 std::chrono::milliseconds limit) {
  constexpr int kMostHung = 4;
  constexpr int kUnknown = 255;
  std::vector<std::optional<int>> findings(count);
  if (count == 0) return findings;
  Board board(count);
  for (int hung = 0; board.done() < count && hung < kMostHung;) {
    const std::size_t before = board.done();
    const auto ended = run_in_child(
        [&] {
          for (std::size_t at = before; at < count; ++at) board.put(at, look(at));
          return 0;
        },
        limit);
    if (ended == 0 || board.done() > before) continue;
    ++hung;
    board.put(before, kUnknown);
  }
  for (std::size_t at = 0; at < board.done(); ++at) {
    if (board.finding(at) != kUnknown) findings[at] = board.finding(at);
  }
  return findings;
}

void abandon(pid_t child, const std::string& subject) {
  Abandoned& all = abandoned();
  const std::lock_guard lock(all.mutex);
  all.children[child] = subject;
}

void reap_abandoned() {
  Abandoned& all = abandoned();
  const std::lock_guard lock(all.mutex);
  std::erase_if(all.children,
                [](const auto& child) { return waitpid(child.first, nullptr, WNOHANG) != 0; });
}

}  // namespace plexvol::process
