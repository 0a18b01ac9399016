#include "agent/mounts/mountinfo.h"

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "agent/api/error.h"
#include "tests/support/namespace_child.h"
#include "tests/support/temporary_directory.h"

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::mounts::describe;
using plexvol::mounts::for_each_mount;
using plexvol::mounts::LineReader;
using plexvol::mounts::MountEntry;
using plexvol::mounts::parse_line;
using plexvol::mounts::select_mounts;
using plexvol::support::NamespaceChild;
using plexvol::support::TemporaryDirectory;

namespace {

std::vector<std::string> lines_of(const std::vector<std::string>& pieces, bool* is_cut = nullptr) {
  std::vector<std::string> lines;
  LineReader reader([&](std::string_view line, bool was_cut) {
    lines.emplace_back(line);
    if (is_cut != nullptr) *is_cut = was_cut;
    return true;
  });
  for (const std::string& piece : pieces) reader.feed(piece);
  reader.finish();
  return lines;
}

}  // namespace

TEST_CASE("mountinfo: the fields of a line, with and without optional ones") {
  const auto entry = parse_line(
      "36 35 98:0 /sub /mnt/a rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue");
  REQUIRE(entry.has_value());
  CHECK(entry->id == 36);
  CHECK(entry->parent_id == 35);
  CHECK(entry->major == 98);
  CHECK(entry->minor == 0);
  CHECK(entry->root == "/sub");
  CHECK(entry->mount_point == "/mnt/a");
  CHECK(entry->master == 1);
  CHECK(entry->peer_group == 7);
  CHECK(entry->fs_type == "ext3");
  CHECK(entry->source == "/dev/root");
  CHECK(entry->super_options == "rw,errors=continue");
  CHECK_FALSE(entry->read_only);
  CHECK(describe(*entry) == "/dev/root (98:0, ext3, its directory /sub)");
  const auto plain = parse_line("40 36 147:1000 / /var/lib/x ro,relatime - xfs /dev/drbd1000 rw");
  REQUIRE(plain.has_value());
  CHECK(plain->peer_group == 0);
  CHECK(plain->read_only);
  CHECK(describe(*plain) == "/dev/drbd1000 (147:1000, xfs)");
}

TEST_CASE("mountinfo: read-only is said of the mount point, not of the file system") {
  const auto entry = parse_line("1 1 8:0 / /a rw - ext4 /dev/sda ro");
  REQUIRE(entry.has_value());
  CHECK_FALSE(entry->read_only);
  CHECK(entry->super_options == "ro");
}

TEST_CASE("mountinfo: only a single blank separates, whatever else is in a path [S2]") {
  // As the kernel shows them: of all white space it escapes blank, tab and line break only.
  const auto entry =
      parse_line("1 2 8:0 /\rroot\v\f /a\r\\040-\\040ext4\\040x\r\x80\xff/b rw - ext4 \r rw");
  REQUIRE(entry.has_value());
  CHECK(entry->root == "/\rroot\v\f");
  CHECK(entry->mount_point == "/a\r - ext4 x\r\x80\xff/b");
  CHECK(entry->source == "\r");
}

TEST_CASE("mountinfo: escapes are undone once") {
  const auto entry =
      parse_line(R"(1 1 8:0 /a\134b /x\040y\011z\012\134040\ rw - ext4 /dev/a\040b rw)");
  REQUIRE(entry.has_value());
  CHECK(entry->root == "/a\\b");
  CHECK(entry->mount_point == "/x y\tz\n\\040\\");
  CHECK(entry->source == "/dev/a b");
}

TEST_CASE("mountinfo: a source may be empty") {
  const auto entry = parse_line("1 1 0:5 / /a rw - tmpfs  rw,size=4k");
  REQUIRE(entry.has_value());
  CHECK(entry->source.empty());
  CHECK(entry->super_options == "rw,size=4k");
}

TEST_CASE("mountinfo: a line that is none is left out, and none but it [S2]") {
  for (const char* text :
       {"", "x", "1 2 3", "1 1 8:0 / /a rw ext4 /dev/sda rw", "1 1 8:0 / /a rw -",
        "1 1 8-0 / /a rw - ext4 /dev/sda rw", "1 1 8:99999999999 / /a rw - ext4 /dev/sda rw",
        "x 35 98:0 / /mnt rw - ext4 /dev/x rw", "36 35 a:0 / / rw - a b c"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_line(text).has_value());
  }
  CHECK(parse_line("1 1 8:0 / /a rw - ext4 /dev/sda").has_value());
}

TEST_CASE("mountinfo: lines are put together from any pieces") {
  CHECK(lines_of({"one\ntw", "o\n", "\nfo", "ur"}) ==
        std::vector<std::string>{"one", "two", "", "four"});
  CHECK(lines_of({""}).empty());
}

TEST_CASE("mountinfo: of a line without end the beginning is kept [S4]") {
  const std::string piece(10000, 'x');
  bool is_cut = false;
  const auto lines = lines_of(std::vector<std::string>(100, piece), &is_cut);
  REQUIRE(lines.size() == 1);
  CHECK(lines.front().size() == LineReader::kLongestLine);
  CHECK(is_cut);
  // The longest paths that there can be, every byte of them escaped.
  std::string path;
  for (int i = 0; i < 4095; ++i) path += "\\012";
  const std::string line = "1 2 8:0 " + path + " " + path + " rw - ext4 " + path + " rw";
  CHECK(line.size() < LineReader::kLongestLine);
}

TEST_CASE("mountinfo: it is read again when somebody mounts meanwhile [D16]") {
  if (geteuid() != 0) return;
  const TemporaryDirectory directory;
  const std::string point = directory.path().string();
  // In a namespace of its own, where nobody else mounts.
  const NamespaceChild child(MS_PRIVATE, [&] {
    int readings = 0;
    bool is_mounted = false;
    for_each_mount(
        "/proc/self/mountinfo", [&] { ++readings; },
        [&](const MountEntry& entry) {
          if (readings == 1 && !is_mounted) {
            is_mounted = mount("tmpfs", point.c_str(), "tmpfs", 0, nullptr) == 0;
          }
          return entry.id != 0;
        });
    const auto quiet = [&] {
      int again = 0;
      for_each_mount(
          "/proc/self/mountinfo", [&] { ++again; }, [](const MountEntry&) { return true; });
      return again;
    };
    return is_mounted && readings == 2 && quiet() == 1;
  });
  CHECK(child.pid() > 0);
}

TEST_CASE("mountinfo: the last ones are kept of more than are wanted [S4]") {
  const auto all = select_mounts("/proc/self/mountinfo", [](const MountEntry&) { return true; });
  const auto last = select_mounts(
      "/proc/self/mountinfo", [](const MountEntry&) { return true; }, 1);
  REQUIRE(all.size() > 1);
  REQUIRE(last.size() == 1);
  CHECK(last.front().id == all.back().id);
}

TEST_CASE("mountinfo: a process that has ended is not found, and no other error is that [D16]") {
  const auto code_of = [](const std::string& path) {
    try {
      for_each_mount(path, [](const MountEntry&) { return true; });
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::Unsupported;
  };
  CHECK(code_of("/proc/0/mountinfo") == ErrorCode::NotFound);
  CHECK(code_of("/proc/self/fd") == ErrorCode::Internal);
}
