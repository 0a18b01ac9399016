// /dev/plexvol/<volume>: one name for a volume's device on every node, whatever is behind it.
// attach can answer it without asking the node, waitforattach can compare it, and it reads well in
// `df`. It stands only while the volume is attached here.
#pragma once

#include <string>

namespace plexvol::reconcile {

class Links {
 public:
  explicit Links(std::string directory) : directory_(std::move(directory)) {}

  std::string path(const std::string& volume) const { return directory_ + "/" + volume; }
  // What the link says, "" when there is none.
  std::string find_target(const std::string& volume) const;
  void set(const std::string& volume, const std::string& device) const;
  void remove(const std::string& volume) const;  // no error when there is none

 private:
  std::string directory_;
};

}  // namespace plexvol::reconcile
