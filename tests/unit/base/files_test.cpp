#include "agent/base/files.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "agent/base/descriptor.h"
#include "tests/support/temporary_directory.h"

namespace {

namespace base = plexvol::base;
using base::Descriptor;
using plexvol::support::TemporaryDirectory;

std::string in(const TemporaryDirectory& directory, const std::string& name) {
  return (std::filesystem::path(directory.path()) / name).string();
}

TEST_CASE("files: a file is read whole, or not at all") {
  const TemporaryDirectory directory;
  const std::string path = in(directory, "file");
  CHECK_FALSE(base::read_file(path));
  CHECK(errno == ENOENT);
  const std::string text(40'000, 'x');
  std::ofstream(path) << text;
  CHECK(base::read_file(path) == text);
  CHECK(base::read_file(path, text.size()) == text);
  CHECK_FALSE(base::read_file(path, text.size() - 1));
  CHECK(errno == EFBIG);
  CHECK_FALSE(base::read_file(directory.path()));
  CHECK(errno == EISDIR);
}

TEST_CASE("files: what is read from the start does not depend on where the descriptor stands") {
  const TemporaryDirectory directory;
  const std::string path = in(directory, "file");
  const Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(base::write_all(file.get(), "0123456789"));
  CHECK(base::read_all(file.get()) == "");
  CHECK(base::read_from_start(file.get()) == "0123456789");
  CHECK(base::read_from_start(file.get(), 4) == "0123");
  REQUIRE(base::write_all_at(file.get(), "ab", 9));
  CHECK(base::read_from_start(file.get()) == "012345678ab");
  // /proc has files of no size, read in parts.
  const Descriptor maps(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  const auto shown = base::read_from_start(maps.get());
  REQUIRE(shown);
  CHECK(shown->ends_with('\n'));
}

TEST_CASE("files: a write that fails says so, with its reason") {
  const Descriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  CHECK_FALSE(base::write_all(full.get(), "text"));
  CHECK(errno == ENOSPC);
  const Descriptor unwritable(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK_FALSE(base::write_all_at(unwritable.get(), "text", 0));
  CHECK(errno == EBADF);
}

TEST_CASE("files: a file that is replaced has its mode, and nothing is left beside it") {
  const TemporaryDirectory directory;
  const std::string path = in(directory, "file");
  std::ofstream(in(directory, ".file.new")) << "half a fi";  // left by a crash
  REQUIRE(base::replace_file(path, "one"));
  CHECK(base::read_file(path) == "one");
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600);
  REQUIRE(base::replace_file(path, "two", 0644));
  CHECK(base::read_file(path) == "two");
  CHECK_FALSE(std::filesystem::exists(in(directory, ".file.new")));
}

TEST_CASE("files: where the new file cannot be written the old one stays") {
  const TemporaryDirectory directory;
  const std::string path = in(directory, "file");
  REQUIRE(base::replace_file(path, "old"));
  std::filesystem::create_directory(in(directory, ".file.new"));
  CHECK_FALSE(base::replace_file(path, "new"));
  CHECK(errno == EISDIR);
  CHECK(base::read_file(path) == "old");
  CHECK_FALSE(base::replace_file(in(directory, "none/file"), "text"));
  CHECK(errno == ENOENT);
}

TEST_CASE("files: a descriptor is closed once, and keeps what errno says") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  Descriptor reader(ends[0]);
  const Descriptor writer(ends[1]);
  Descriptor moved(std::move(reader));
  CHECK_FALSE(reader.is_open());  // NOLINT(bugprone-use-after-move): what it is left as
  CHECK(moved.get() == ends[0]);
  errno = EISDIR;
  moved.reset();
  CHECK(errno == EISDIR);
  CHECK(::fcntl(ends[0], F_GETFD) == -1);
  CHECK(::fcntl(writer.get(), F_GETFD) == FD_CLOEXEC);
}

}  // namespace
