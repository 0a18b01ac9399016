#include "agent/drbd/config_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "agent/api/error.h"
#include "agent/process/descriptor.h"

namespace plexvol::drbd {
namespace {

using process::Descriptor;

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  const int number = errno;
  throw Error(ErrorCode::Internal,
              "cannot " + what + " " + path + ": " + std::generic_category().message(number));
}

void write_all(const Descriptor& file, const std::string& text, const std::string& path) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t wrote = ::write(file.get(), text.data() + done, text.size() - done);
    if (wrote < 0 && errno != EINTR) fail("write", path);
    if (wrote > 0) done += static_cast<std::size_t>(wrote);
  }
  if (::fsync(file.get()) != 0) fail("write", path);
}

}  // namespace

std::string config_path(const Settings& settings, const std::string& name) {
  return settings.config_directory + "/" + name + ".res";
}

std::string dump_path(const Settings& settings, const std::string& name) {
  return settings.config_directory + "/" + name + ".dump";
}

std::string untold_path(const Settings& settings, const std::string& name) {
  return settings.config_directory + "/" + name + ".untold";
}

std::optional<std::string> read_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    fail("read", path);
  }
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t got = ::read(file.get(), part.data(), part.size());
    if (got == 0) return text;
    if (got < 0 && errno != EINTR) fail("read", path);
    if (got > 0) text.append(part.data(), static_cast<std::size_t>(got));
  }
}

void replace_file(const std::string& path, const std::string& text) {
  const std::filesystem::path target(path);
  const std::string directory = target.parent_path().string();
  // Names of resources never begin with a dot.
  const std::string beside = directory + "/." + target.filename().string() + ".new";
  std::error_code error;
  std::filesystem::create_directories(directory, error);  // open() tells when that did not help
  ::unlink(beside.c_str());                               // left by a crash
  {
    const Descriptor file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (file.get() < 0) fail("write", beside);
    write_all(file, text, beside);
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) fail("write", path);
  const Descriptor folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) fail("write", directory);
}

}  // namespace plexvol::drbd
