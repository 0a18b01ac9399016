// Recorded output of tools, under tests/data. Tests run in the repository's root.
#pragma once

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace plexvol::support {

inline std::string read_data_file(const std::string& name) {
  std::ifstream file("tests/data/" + name);
  if (!file) throw std::runtime_error("cannot read tests/data/" + name);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace plexvol::support
