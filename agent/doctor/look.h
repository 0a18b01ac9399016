// What the looks have in common. Each appends its findings and throws nothing that it expects.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/doctor/doctor.h"

namespace plexvol::doctor {

class Report {
 public:
  void ok(const std::string& what, const std::string& found, const std::string& wanted);
  void warn(const std::string& what, const std::string& found, const std::string& wanted,
            const std::string& advice);
  void fault(const std::string& what, const std::string& found, const std::string& wanted,
             const std::string& advice);
  // A look that could not be taken is a fault of what it was to look at.
  void look(const std::string& what, const std::string& advice, const std::function<void()>& at);

  std::vector<api::Finding> findings;
};

struct Examination {
  const Subject& subject;
  process::Runner& runner;
  Report& report;
};

void look_at_kernel(const Examination& examination);
void look_at_drbd(const Examination& examination);
void look_at_lvm(const Examination& examination);
void look_at_tools(const Examination& examination);
void look_at_pools(const Examination& examination);
void look_at_store(const Examination& examination);
void look_at_network(const Examination& examination);
void look_at_kubelet(const Examination& examination);

bool has_pool_of(const Subject& subject, const std::string& type);
// Whether volumes may have a copy on another node: only then DRBD and what belongs to it is wanted.
bool is_mirroring(const Subject& subject);
// "2.03.16(2)" and "2.2.170" compared by their numbers.
bool is_at_least(const std::string& version, const std::string& least);

}  // namespace plexvol::doctor
