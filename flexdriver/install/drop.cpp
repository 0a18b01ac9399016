#include "flexdriver/install/drop.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/protocol.h"
#include "flexdriver/agent_client.h"
#include "flexdriver/deadline.h"
#include "flexdriver/file_descriptor.h"
#include "flexdriver/mounts/target.h"
#include "flexdriver/settings.h"
#include "flexdriver/system_text.h"

namespace plexvol::driver {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFolder = "/plexvol~plexvol";
constexpr const char* kDriver = "/plexvol";
constexpr const char* kNew = "/.plexvol.new";
constexpr const char* kPrevious = "/.plexvol.previous";
constexpr const char* kBack = "/.plexvol.back";
constexpr const char* kSettings = "/.plexvol.json";
constexpr std::size_t kMostBytes = 64U << 20U;
constexpr auto kInitLimit = std::chrono::seconds(10);

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  const int error = errno;
  std::string text = "cannot " + what + " " + path + ": " + error_text(error);
  if (error == EROFS || error == EACCES || error == EPERM) {
    text +=
        "; this system keeps it read-only: give the kubelet another --volume-plugin-dir, one that "
        "can be written to, and restart it";
  }
  throw Error(ErrorCode::Internal, text);
}

// A new file, on the disk when it returns: what had this name before may have others.
void write_file(const std::string& path, const std::string& text, mode_t mode) {
  ::unlink(path.c_str());
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!file) fail("write", path);
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(file.get(), text.data() + done, text.size() - done);
    if (count < 0 && errno != EINTR) fail("write", path);
    if (count > 0) done += static_cast<std::size_t>(count);
  }
  if (::fchmod(file.get(), mode) != 0 || ::fsync(file.get()) != 0) fail("write", path);
}

void move(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail("rename " + from + " to", to);
}

void make_directory(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST && ::access(part.c_str(), F_OK) != 0) {
      fail("make", part);
    }
  }
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) fail("make", path);
}

// Two installers of one node take turns.
FileDescriptor lock(const std::string& plugin_dir) {
  FileDescriptor folder(::open(plugin_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::flock(folder.get(), LOCK_EX) != 0) fail("lock", plugin_dir);
  return folder;
}

// The reply of `PATH init`, both streams, as a kubelet reads it.
std::string run_init(const std::string& path) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("make a pipe for", path);
  const FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) fail("start", path);
  if (child == 0) {
    ::dup2(write_end.get(), STDOUT_FILENO);
    ::dup2(write_end.get(), STDERR_FILENO);
    ::execl(path.c_str(), path.c_str(), "init", nullptr);  // NOLINT: the one argument it has
    ::dprintf(STDERR_FILENO, "%s", error_text(errno).c_str());
    ::_exit(127);
  }
  write_end.reset();
  std::string text;
  const Deadline deadline = Clock::now() + kInitLimit;
  std::array<char, 4096> part{};
  pollfd waiting{.fd = read_end.get(), .events = POLLIN, .revents = 0};
  while (::poll(&waiting, 1, poll_timeout(deadline)) > 0) {
    const ssize_t count = ::read(read_end.get(), part.data(), part.size());
    if (count <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(count));
  }
  ::kill(child, SIGKILL);  // no matter when it has ended
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return text;
}

void require_init(const std::string& path) {
  const std::string said = run_init(path);
  const Json reply = Json::parse(said, nullptr, false);
  if (reply.is_object() && reply.value("status", "") == "Success") return;
  throw Error(ErrorCode::Internal,
              path + " init does not answer Success but \"" + one_line(said, 200) +
                  "\"; is its file system mounted noexec? What was there before stays");
}

std::string settings_text(const std::string& path, const DropSettings& wanted) {
  const auto before = read_file(path, kMostBytes);
  Json json = before ? Json::parse(*before, nullptr, false) : Json::object();
  if (!json.is_object()) {
    throw Error(ErrorCode::Conflict,
                path + " is not a JSON object: mend or remove it, then install again");
  }
  if (wanted.attach) json["attach"] = *wanted.attach;
  if (wanted.socket) json["socket"] = *wanted.socket;
  if (wanted.timeout_seconds) json["timeout_seconds"] = *wanted.timeout_seconds;
  const std::string problem = parse_settings(json.dump(), "").problem;
  if (!problem.empty()) throw Error(ErrorCode::InvalidArgument, problem);
  return json.dump(2) + '\n';
}

// nullopt: there are none.
void write_settings(const std::string& folder, const std::optional<std::string>& text) {
  const std::string path = folder + kSettings;
  if (read_file(path, kMostBytes) == text) return;
  if (!text) {
    if (::unlink(path.c_str()) != 0) fail("remove", path);
    return;
  }
  write_file(path + ".new", *text, 0644);
  move(path + ".new", path);
}

// One more name for a file, whatever had that name before.
void link_anew(const std::string& file, const std::string& name) {
  ::unlink(name.c_str());
  if (::link(file.c_str(), name.c_str()) != 0) fail("link", name);
}

// Whoever looks meanwhile sees one name or the other, never none.
void keep_previous(const std::string& folder) {
  const std::string spare = folder + kPrevious + ".new";
  link_anew(folder + kDriver, spare);
  move(spare, folder + kPrevious);
}

void remove_tree(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), &::closedir);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread, one stream
  for (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr; entry != nullptr;
       entry = ::readdir(folder.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string inner = std::string(path).append("/").append(name);
    if (::unlink(inner.c_str()) != 0 && errno != ENOENT) fail("remove", inner);
  }
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT) fail("remove", path);
}

// A first installation: the folder appears with all that is in it.
void drop_folder(const std::string& plugin_dir, const std::string& text,
                 const DropSettings& settings) {
  const std::string staged = plugin_dir + "/.plexvol~plexvol.new";
  const std::string folder = plugin_dir + kFolder;
  remove_tree(staged);
  try {
    make_directory(staged);
    write_file(staged + kDriver, text, 0755);
    require_init(staged + kDriver);
    write_settings(staged, settings_text(staged + kSettings, settings));
    move(staged, folder);
    require_init(folder + kDriver);
  } catch (const Error&) {
    ::rename(folder.c_str(), staged.c_str());  // when it was that far
    remove_tree(staged);
    throw;
  }
}

// Tried out beside the old one.
void stage(const std::string& folder, const std::string& text) {
  write_file(folder + kNew, text, 0755);
  try {
    require_init(folder + kNew);
  } catch (const Error&) {
    ::unlink((folder + kNew).c_str());
    throw;
  }
}

// What kubelets call is `before` again.
void restore(const std::string& folder, const std::optional<std::string>& before) {
  const std::string driver = folder + kDriver;
  if (read_file(driver, kMostBytes) == before) return;
  if (!before) {
    ::unlink(driver.c_str());
    return;
  }
  write_file(folder + kNew, *before, 0755);
  move(folder + kNew, driver);
}

}  // namespace

DropResult drop_driver(const std::string& plugin_dir, const std::string& executable,
                       const DropSettings& settings) {
  const auto text = read_file(executable, kMostBytes);
  if (!text) fail("read", executable);
  make_directory(plugin_dir);
  const FileDescriptor locked = lock(plugin_dir);
  const std::string folder = plugin_dir + kFolder;
  const std::string driver = folder + kDriver;
  if (::access(folder.c_str(), F_OK) != 0) {
    drop_folder(plugin_dir, *text, settings);
    return DropResult::Installed;
  }
  const auto before = read_file(driver, kMostBytes);
  const auto settings_before = read_file(folder + kSettings, kMostBytes);
  const std::string settings_wanted = settings_text(folder + kSettings, settings);
  const bool another = before != text;
  if (another) stage(folder, *text);
  try {
    write_settings(folder, settings_wanted);
    if (another && before) {
      ::unlink((folder + kBack).c_str());
      keep_previous(folder);
    }
    if (another) move(folder + kNew, driver);
    // Kubelets ignore the settings file's name, and read what is in it by `init` only after an
    // event of the driver's own (contract fact 14).
    if (!another && settings_before != settings_wanted) ::chmod(driver.c_str(), 0755);
    require_init(driver);
  } catch (const Error&) {
    restore(folder, before);
    write_settings(folder, settings_before);
    throw;
  }
  if (!another) return DropResult::Unchanged;
  return before ? DropResult::Replaced : DropResult::Installed;
}

void drop_helper(const std::string& path, const std::string& executable) {
  const auto text = read_file(executable, kMostBytes);
  if (!text) fail("read", executable);
  if (read_file(path, kMostBytes) == text) return;
  make_directory(path.substr(0, path.rfind('/')));
  const std::string fresh = path + ".new";
  write_file(fresh, *text, 0755);
  require_init(fresh);
  move(fresh, path);
}

void roll_back(const std::string& plugin_dir) {
  const FileDescriptor locked = lock(plugin_dir);
  const std::string folder = plugin_dir + kFolder;
  const auto previous = read_file(folder + kPrevious, kMostBytes);
  if (!previous) {
    throw Error(ErrorCode::NotFound,
                folder + kPrevious + " is not there: nothing was installed before this driver");
  }
  require_init(folder + kPrevious);
  const std::string spare = folder + kBack;
  // One that was killed midway has the old one under no other name any more.
  const bool midway =
      ::access(spare.c_str(), F_OK) == 0 && previous == read_file(folder + kDriver, kMostBytes);
  if (!midway) {
    link_anew(folder + kPrevious, spare);
    keep_previous(folder);
  }
  move(spare, folder + kDriver);
}

bool remove_driver(const std::string& plugin_dir) {
  const std::string folder = plugin_dir + kFolder;
  const std::string gone = plugin_dir + "/.plexvol~plexvol.gone";
  if (::access(plugin_dir.c_str(), F_OK) != 0) return false;
  const FileDescriptor locked = lock(plugin_dir);
  remove_tree(gone);
  if (::access(folder.c_str(), F_OK) != 0) return false;
  move(folder, gone);
  remove_tree(gone);
  return true;
}

bool remove_runtime_files(const std::string& root) {
  const std::string socket = root + api::kDefaultSocket;
  FileDescriptor connection;
  const int problem = try_connect(socket, connection);
  if (problem == 0 || problem == EAGAIN) return false;
  for (const std::string& file : {socket, socket + ".lock"}) {
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) fail("remove", file);
  }
  remove_tree(root + kLockDirectory);
  ::rmdir((root + kLockParent).c_str());  // stays when there is something else in it
  return true;
}

std::vector<std::string> mounts_of_driver(const std::vector<MountEntry>& table) {
  std::vector<std::string> points;
  for (const MountEntry& entry : table) {
    const bool ours =
        entry.mount_point.find("/volumes/plexvol~plexvol/") != std::string::npos ||
        entry.mount_point.find("/kubernetes.io/flexvolume/plexvol/plexvol/") != std::string::npos;
    if (ours) points.push_back(entry.mount_point);
  }
  return points;
}

}  // namespace plexvol::driver
