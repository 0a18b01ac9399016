// The tools that the agent runs, and the host's own lvm2.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <regex>
#include <sstream>

#include "agent/base/text.h"
#include "agent/doctor/look.h"

namespace plexvol::doctor {

namespace {

bool uses_lvm(const Subject& subject) {
  return has_pool_of(subject, "lvm") || has_pool_of(subject, "lvm-thin");
}

// "  LVM version:     2.03.16(2) (2022-05-18)"
std::string version_in(const std::string& text) {
  constexpr const char* kKey = "LVM version:";
  const std::size_t key = text.find(kKey);
  if (key == std::string::npos) return "";
  std::istringstream rest(text.substr(key + std::char_traits<char>::length(kKey)));
  std::string version;
  rest >> version;
  return version;
}

void look_at_lvm_version(const Examination& examination) {
  constexpr const char* kWhat = "lvm2";
  constexpr const char* kLeast = "2.02.158";  // the first with --reportformat json
  const auto output = examination.runner.run({.argv = {"/usr/sbin/lvm", "version"}, .input = {}});
  const std::string version = version_in(output.out);
  const std::string wanted = fmt::format("{} or later", kLeast);
  if (is_at_least(version, kLeast)) return examination.report.ok(kWhat, version, wanted);
  examination.report.fault(kWhat, version.empty() ? process::said(output) : version, wanted,
                           "install lvm2 on this node (or in the agent's image)");
}

// Whether the host's own lvm2, run by anybody, would open our DRBD devices: one frozen device, and
// every lvm command of the node hangs (field lesson 11). As lvm.conf(5): patterns in turn, the
// first that matches counts, what none matches is accepted.
bool accepts(const std::string& filter, const std::string& device) {
  static const std::regex form(R"re("([ar])(.)([^"]*?)\2")re");
  for (auto found = std::sregex_iterator(filter.begin(), filter.end(), form);
       found != std::sregex_iterator(); ++found) {
    const std::regex pattern((*found)[3].str(), std::regex::egrep);
    if (std::regex_search(device, pattern)) return (*found)[1] == "a";
  }
  return true;
}

void look_at_global_filter(const Examination& examination) {
  constexpr const char* kWhat = "lvm2's global_filter";
  constexpr const char* kWanted = "ignores DRBD devices";
  // The first process sees the host's files, whatever this container has.
  std::string host = examination.subject.places.proc + "/1/root";
  if (::access(host.c_str(), R_OK) != 0) host = "";
  if (::access((host + "/sbin/lvm").c_str(), X_OK) != 0) {
    return examination.report.ok(kWhat, "lvm2 is not installed on the host", kWanted);
  }
  const std::string folder = host + "/etc/lvm";
  const auto output =
      examination.runner.run({.argv = {"/usr/bin/env", "LVM_SYSTEM_DIR=" + folder,
                                       "/usr/sbin/lvmconfig", "devices/global_filter"},
                              .input = {}});
  // "Configuration node devices/global_filter not found": none is set.
  const std::string filter = output.exit_code == 0 ? output.out : "";
  const bool open = accepts(filter, "/dev/drbd1000") || accepts(filter, "/dev/plexvol/data");
  if (!open) return examination.report.ok(kWhat, kWanted, kWanted);
  examination.report.warn(
      kWhat, filter.empty() ? "not set" : "accepts /dev/drbd*", kWanted,
      R"(in /etc/lvm/lvm.conf, section devices: global_filter = [ "r|^/dev/drbd|", )"
      R"("r|^/dev/plexvol/|" ], before existing entries: otherwise one frozen volume makes every lvm )"
      R"(command of this node hang)");
}

struct Tool {
  const char* path;
  const char* package;
  const char* purpose;  // what it is needed for
};

void look_at_tool(const Tool& tool, Report& report) {
  const std::string path = tool.path;
  const std::string what = base::base_name(path);
  if (::access(tool.path, X_OK) == 0) return report.ok(what, "installed", "installed");
  report.fault(
      what, "missing", fmt::format("installed (needed for {})", tool.purpose),
      fmt::format("install the package {} on this node (or in the agent's image)", tool.package));
}

}  // namespace

void look_at_lvm(const Examination& examination) {
  if (!uses_lvm(examination.subject)) return;
  const std::string advice = "install lvm2 on this node (or in the agent's image)";
  examination.report.look("lvm2", advice, [&] { look_at_lvm_version(examination); });
  examination.report.look("lvm2's global_filter", advice,
                          [&] { look_at_global_filter(examination); });
}

void look_at_tools(const Examination& examination) {
  const Subject& subject = examination.subject;
  Report& report = examination.report;
  look_at_tool({"/usr/sbin/mkfs.ext4", "e2fsprogs", "file systems of type ext4"}, report);
  look_at_tool({"/usr/sbin/fsck.ext4", "e2fsprogs", "checks before a mount"}, report);
  look_at_tool({"/usr/sbin/mkfs.xfs", "xfsprogs", "file systems of type xfs"}, report);
  if (has_pool_of(subject, "file")) {
    look_at_tool({"/usr/sbin/losetup", "util-linux", "pools of type file"}, report);
  }
  if (has_pool_of(subject, "lvm-thin")) {
    look_at_tool({"/usr/sbin/thin_check", "thin-provisioning-tools", "activating thin pools"},
                 report);
  }
  if (!is_mirroring(subject)) return;
  look_at_tool({"/usr/sbin/drbdadm", "drbd-utils", "mirrored volumes"}, report);
  look_at_tool({"/usr/sbin/drbdmeta", "drbd-utils", "mirrored volumes"}, report);
}

}  // namespace plexvol::doctor
