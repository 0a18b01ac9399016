// /proc/PID/maps and /proc/PID/cgroup, which come in pieces that may end anywhere, and in which
// users choose the names of files and of cgroups.
#include <algorithm>
#include <regex>
#include <sstream>

#include "agent/pods/cgroups.h"
#include "agent/process/open_files.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

namespace {

const std::vector<mounts::DeviceNumber> kDevices{{.major = 8, .minor = 1},
                                                 {.major = 147, .minor = 1000}};

bool find_map(const std::string& bytes, std::size_t piece) {
  process::MapsReader reader(kDevices);
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const std::string part = bytes.substr(at, piece);
    if (reader.feed(part.data(), part.size())) return true;
  }
  return false;
}

// Where every line is one of the kernel's, its device's column alone tells.
void check_maps(const std::string& bytes) {
  static const std::regex kLine(
      "[0-9a-f]{1,16}-[0-9a-f]{1,16} [-rwxsp]{4} [0-9a-f]{8,16} "
      "([0-9a-f]{2,3}):([0-9a-f]{2,5}) [0-9]{1,20}( |$)");
  constexpr std::size_t kColumns = 96;  // without the name: std::regex is recursive
  std::istringstream lines(bytes);
  bool is_mapped = false;
  for (std::string line; std::getline(lines, line);) {
    line.resize(std::min(line.size(), kColumns));
    std::smatch columns;
    if (!std::regex_search(line, columns, kLine, std::regex_constants::match_continuous)) return;
    const mounts::DeviceNumber device{
        .major = static_cast<unsigned>(std::stoul(columns[1], nullptr, 16)),
        .minor = static_cast<unsigned>(std::stoul(columns[2], nullptr, 16))};
    is_mapped = is_mapped || device == kDevices[0] || device == kDevices[1];
  }
  expect(find_map(bytes, bytes.size() + 1) == is_mapped);
}

bool names_pod(const std::string& bytes, std::size_t piece) {
  pods::CgroupSearch search("12345678-9abc-4def-8123-456789abcdef");
  for (std::size_t at = 0; at < bytes.size(); at += piece) search.take(bytes.substr(at, piece));
  return search.found();
}

}  // namespace

void run(const std::string& bytes) {
  const std::size_t whole = bytes.size() + 1;
  expect(find_map(bytes, whole) == find_map(bytes, 3));
  check_maps(bytes);
  expect(names_pod(bytes, whole) == names_pod(bytes, 5));
}

}  // namespace plexvol::fuzz
