// Tools that were killed and did not end: they hang in the kernel, most likely on a device that
// answers nobody. Another tool that is started for the same thing would hang beside them.
#pragma once

#include <sys/types.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace plexvol::process {

// Any number of threads may call it.
class HungTools {
 public:
  // `group`: the process group of a tool that did not end although it was killed. Does nothing
  // without a subject.
  void add(const std::string& subject, pid_t group, const std::string& command);
  // Throws Error(Unavailable) that names the process while one of this subject has not ended.
  void refuse(const std::string& subject);

 private:
  struct Tool {
    pid_t group = 0;
    std::string command;
  };

  std::mutex mutex_;
  std::map<std::string, std::vector<Tool>> tools_;  // by subject
};

// " in io_schedule": what this process waits for in the kernel. "" when that is not known.
std::string where_it_hangs(pid_t pid);

}  // namespace plexvol::process
