#include "agent/process/hung_tools.h"

#include <fmt/core.h>

#include "agent/api/error.h"
#include "agent/process/child.h"
#include "agent/process/proc.h"

namespace plexvol::process {

void HungTools::add(const std::string& subject, pid_t group, const std::string& command) {
  if (subject.empty()) return;
  const std::lock_guard lock(mutex_);
  tools_[subject].push_back({.group = group, .command = command});
}

void HungTools::refuse(const std::string& subject) {
  const std::lock_guard lock(mutex_);
  const auto found = tools_.find(subject);
  if (found == tools_.end()) return;
  reap_abandoned();
  std::erase_if(found->second,
                [](const Tool& tool) { return read_group(tool.group).members.empty(); });
  if (found->second.empty()) {
    tools_.erase(found);
    return;
  }
  const Tool& tool = found->second.front();
  const std::vector<pid_t> members = read_group(tool.group).members;
  const pid_t pid = members.empty() ? tool.group : members.front();
  throw Error(ErrorCode::Unavailable,
              fmt::format("{}: an earlier tool still hangs in the kernel{}, so no other tool is "
                          "started: process {} ({}); find out what the device below it is waiting "
                          "for, or reboot this node",
                          subject, where_it_hangs(pid), pid, tool.command));
}

std::string where_it_hangs(pid_t pid) {
  const std::string where = read_text_file(path_of(pid, "wchan"));
  return where.size() > 1 ? " in " + where : "";
}

}  // namespace plexvol::process
