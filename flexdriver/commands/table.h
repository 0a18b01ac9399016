// Aligned columns of plain text, on a terminal and off it.
#pragma once

#include <string>
#include <vector>

namespace plexvol::driver {

class Table {
 public:
  explicit Table(std::vector<std::string> heading) : rows_{std::move(heading)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string to_text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace plexvol::driver
