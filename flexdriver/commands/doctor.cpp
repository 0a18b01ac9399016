#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "agent/api/error.h"
#include "agent/api/protocol.h"
#include "agent/api/report.h"
#include "agent/api/text.h"
#include "agent/base/files.h"
#include "flexdriver/commands/context.h"
#include "flexdriver/install/plugin_dirs.h"
#include "flexdriver/settings.h"

namespace plexvol::driver {

namespace {

using Findings = std::vector<api::Finding>;

void look_at_settings(const std::string& folder, Findings& findings) {
  const std::string problem = load_settings(folder).problem;
  if (problem.empty()) return;
  findings.push_back({.what = "driver's settings",
                      .level = "fault",
                      .found = folder + ": " + problem,
                      .wanted = "a JSON object that can be read",
                      .advice = "plexvol driver install, with --attach true where Kubernetes "
                                "attaches volumes"});
}

// What the agent cannot know: where a kubelet looks.
void look_at_plugin_dirs(Findings& findings) {
  constexpr const char* kWhat = "plugin directory";
  constexpr const char* kWanted = "the kubelet's, with the driver";
  try {
    for (const PluginDir& dir : find_plugin_dirs("/proc", TrustedDir::open_root("")).dirs) {
      const std::string driver = dir.path + "/plexvol~plexvol/plexvol";
      const bool there = ::access(driver.c_str(), X_OK) == 0;
      findings.push_back({.what = kWhat,
                          .level = there ? "ok" : "fault",
                          .found = there ? driver : driver + ": " + base::error_text(errno),
                          .wanted = kWanted,
                          .advice = there ? "" : "plexvol driver install (" + dir.how + ")"});
      if (there) look_at_settings(dir.path + "/plexvol~plexvol", findings);
    }
  } catch (const Error& error) {
    findings.push_back({.what = kWhat,
                        .level = "warning",
                        .found = error.what(),
                        .wanted = kWanted,
                        .advice = "on a node without a kubelet this is as it should be"});
  }
}

void ask_agent(const CommandContext& context, Findings& findings) {
  try {
    const auto told =
        api::from_json<std::vector<api::Finding>>(context.ask(api::kDoctorPath, "{}"));
    findings.push_back(
        {.what = "agent", .level = "ok", .found = "answers", .wanted = "answers", .advice = ""});
    findings.insert(findings.end(), told.begin(), told.end());
  } catch (const Error& error) {
    findings.push_back({.what = "agent",
                        .level = "fault",
                        .found = error.what(),
                        .wanted = "answers",
                        .advice = "check its log (journalctl -u plexvold, or kubectl logs); "
                                  "`plexvold --doctor` checks the rest without it"});
  }
}

}  // namespace

void add_doctor_command(CLI::App& app, const CommandContext& context) {
  CLI::App* noun = app.add_subcommand("doctor", "check everything that Plexvol needs on this node");
  noun->footer(
      "Changes nothing. Exits with 1 if there is a fault; warnings do not count.\n"
      "Examples:\n  plexvol doctor\n  plexvol doctor -o json");
  noun->callback([&context] {
    Findings findings;
    ask_agent(context, findings);
    look_at_plugin_dirs(findings);
    print_line(context.options().json() ? api::to_json(findings) : api::to_report(findings));
    const auto faults = std::count_if(findings.begin(), findings.end(),
                                      [](const auto& finding) { return finding.level == "fault"; });
    if (faults == 0) return;
    throw Error(ErrorCode::Conflict,
                std::to_string(faults) + (faults == 1 ? " fault" : " faults") + " on this node");
  });
}

}  // namespace plexvol::driver
