#include "agent/doctor/doctor.h"

#include <algorithm>

#include "agent/api/error.h"
#include "agent/base/version.h"
#include "agent/doctor/look.h"

namespace plexvol::doctor {

void Report::ok(const std::string& what, const std::string& found, const std::string& wanted) {
  findings.push_back({.what = what, .level = "ok", .found = found, .wanted = wanted, .advice = ""});
}

void Report::warn(const std::string& what, const std::string& found, const std::string& wanted,
                  const std::string& advice) {
  findings.push_back(
      {.what = what, .level = "warning", .found = found, .wanted = wanted, .advice = advice});
}

void Report::fault(const std::string& what, const std::string& found, const std::string& wanted,
                   const std::string& advice) {
  findings.push_back(
      {.what = what, .level = "fault", .found = found, .wanted = wanted, .advice = advice});
}

void Report::look(const std::string& what, const std::string& advice,
                  const std::function<void()>& at) {
  try {
    at();
  } catch (const std::exception& error) {
    fault(what, error.what(), "can be checked", advice);
  }
}

bool has_pool_of(const Subject& subject, const std::string& type) {
  return std::any_of(subject.pools.begin(), subject.pools.end(),
                     [&](const auto& pool) { return pool.type == type; });
}

bool is_mirroring(const Subject& subject) {
  return !subject.address.empty() && subject.store_kind != "embedded";
}

bool is_at_least(const std::string& version, const std::string& least) {
  return base::parse_version(version) >= base::parse_version(least);
}

namespace {

// Each look would wait as long again for a store that does not answer.
Subject without_silent_store(Subject subject) {
  if (subject.store == nullptr) return subject;
  try {
    subject.store->list_nodes();
  } catch (const Error& error) {
    subject.store_silence = error.what();
    subject.store = nullptr;
  }
  return subject;
}

}  // namespace

std::vector<api::Finding> examine(const Subject& asked, process::Runner& runner) {
  Report report;
  const Subject subject = without_silent_store(asked);
  const Examination examination{subject, runner, report};
  look_at_kernel(examination);
  look_at_drbd(examination);
  look_at_lvm(examination);
  look_at_tools(examination);
  look_at_pools(examination);
  look_at_store(examination);
  look_at_network(examination);
  look_at_kubelet(examination);
  return report.findings;
}

bool has_fault(const std::vector<api::Finding>& findings) {
  return std::any_of(findings.begin(), findings.end(),
                     [](const api::Finding& finding) { return finding.level == "fault"; });
}

}  // namespace plexvol::doctor
