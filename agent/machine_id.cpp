#include "agent/machine_id.h"

#include <algorithm>
#include <cctype>
#include <fstream>

#include "agent/api/random.h"
#include "agent/base/files.h"

namespace plexvol {

namespace {

constexpr std::size_t kDigits = 32;

// 32 hexadecimal digits, with or without dashes; "" for anything else. A firmware that nobody has
// told its number says 0 or F all over, or counts.
std::string read_id(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  std::string id;
  for (const char letter : line) {
    if (letter == '-') continue;
    if (std::isxdigit(static_cast<unsigned char>(letter)) == 0) return "";
    id += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  constexpr const char* kCounted = "03000200040005000006000700080009";
  const bool is_one_digit =
      std::all_of(id.begin(), id.end(), [&](char digit) { return digit == id.front(); });
  return id.size() == kDigits && !is_one_digit && id != kCounted ? id : "";
}

}  // namespace

std::string find_machine_id(const std::string& state_directory, const MachineFiles& files) {
  if (auto id = read_id(files.host_root + "/etc/machine-id"); !id.empty()) return id;
  if (auto id = read_id(files.product_uuid); !id.empty()) return id;
  const std::string own = state_directory + "/machine-id";
  if (auto id = read_id(own); !id.empty()) return id;
  const std::string made = random_hex(kDigits);
  return base::replace_file(own, made + "\n") ? made : "";
}

}  // namespace plexvol
