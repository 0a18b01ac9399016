// The kernel itself, its clock, and DRBD with the program that it asks.
#include <fmt/core.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <sstream>
#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/base/files.h"
#include "agent/doctor/look.h"
#include "agent/drbd/drbd.h"
#include "agent/filesystem/features.h"

namespace plexvol::doctor {

namespace {

std::string kernel_release() {
  utsname name{};
  ::uname(&name);
  return name.release;
}

void look_at_clock(Report& report) {
  timex state{};
  constexpr const char* kWhat = "clock";
  const bool synchronised = ::adjtimex(&state) != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  if (synchronised) return report.ok(kWhat, "synchronised", "synchronised");
  report.warn(kWhat, "not synchronised", "synchronised",
              "run chrony or systemd-timesyncd: Plexvol does not depend on the clock, but the logs "
              "of different nodes cannot be compared, and certificates may not be valid yet");
}

void look_at_features(Report& report, const std::string& release) {
  std::string off;
  for (const char* fs_type : {"ext4", "xfs"}) {
    for (const auto& [option, value] : filesystem::features_to_leave_out(fs_type, release)) {
      off += fmt::format("{}{} {}", off.empty() ? "" : ", ", fs_type, value);
    }
  }
  const std::string wanted = "file systems that this kernel can mount";
  report.ok("mkfs", off.empty() ? "with its defaults" : "disables " + off, wanted);
}

void look_at_module(const std::string& module, const std::string& why,
                    const Examination& examination) {
  const std::string what = "kernel module " + module;
  // Built in, or loaded.
  if (::access((examination.subject.places.sys + "/module/" + module).c_str(), F_OK) == 0) {
    return examination.report.ok(what, "loaded", "available");
  }
  const auto output = examination.runner.run(
      {.argv = {"/usr/sbin/modprobe", "--dry-run", "--quiet", module}, .input = {}});
  if (output.exit_code == 0) return examination.report.ok(what, "available", "available");
  examination.report.fault(what, "missing", fmt::format("available (needed for {})", why),
                           "install the distribution's package of extra kernel modules "
                           "(linux-modules-extra, kernel-modules-extra)");
}

void look_at_helper(const Subject& subject, Report& report) {
  constexpr const char* kWhat = "DRBD's usermode_helper";
  const drbd::ModuleFiles files{.directory = subject.places.sys + "/module/drbd",
                                .proc = subject.places.proc + "/drbd"};
  const std::string advice =
      "set drbd.helper to the installed driver, or to a copy of it with a path of fewer than 80 "
      "characters on a file system that is not mounted noexec; then restart the agent";
  if (::access(subject.helper.c_str(), X_OK) != 0) {
    return report.fault(kWhat, fmt::format("{} cannot be executed", subject.helper),
                        "the installed driver", "plexvol driver install; or " + advice);
  }
  const std::string now = drbd::usermode_helper(files);
  if (now == subject.helper) return report.ok(kWhat, now, "the installed driver");
  report.warn(kWhat, now, subject.helper,
              "another program has set it (linstor, pacemaker?). A running agent sets it back "
              "within half a minute; until then, a primary that loses its peer stays frozen");
}

// Somebody besides root may log in: a shell, and a user's number.
bool has_users(const std::string& passwd) {
  std::istringstream lines(passwd);
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> fields;
    std::istringstream stream(line);
    for (std::string field; std::getline(stream, field, ':');) fields.push_back(field);
    constexpr std::size_t kShell = 6;
    if (fields.size() <= kShell || fields[2] == "0" || fields[0].starts_with('+')) continue;
    const std::string& shell = fields[kShell];
    if (!shell.ends_with("/nologin") && !shell.ends_with("/false") && !shell.ends_with("/sync")) {
      return true;
    }
  }
  return false;
}

// drbdadm gives drbdsetup a volume's secret as an argument, and neither reads it from a file: who
// sees other users' processes may see it at the moment of a connect.
void look_at_arguments(const Subject& subject, Report& report) {
  constexpr const char* kWhat = "DRBD's secrets";
  constexpr const char* kWanted = "hidden from other users of this node";
  const std::string mounts = base::read_file(subject.places.proc + "/1/mountinfo").value_or("");
  const std::string users =
      base::read_file(subject.places.proc + "/1/root/etc/passwd").value_or("");
  if (mounts.find("hidepid=") != std::string::npos) return report.ok(kWhat, "hidepid", kWanted);
  if (!has_users(users)) return report.ok(kWhat, "only root can log in", kWanted);
  report.warn(kWhat, "visible in the arguments of drbdsetup while it connects", kWanted,
              "mount /proc with hidepid=2 (systemd-logind and polkit then need the mount option "
              "gid= of a group that they are in), or let only administrators log in");
}

}  // namespace

void look_at_kernel(const Examination& examination) {
  Report& report = examination.report;
  const std::string release = kernel_release();
  if (is_at_least(release, "3.10")) {
    report.ok("kernel", release, "3.10 or later");
  } else {
    report.fault("kernel", release, "3.10 or later", "update this node's kernel");
  }
  look_at_clock(report);
  look_at_features(report, release);
  const Subject& subject = examination.subject;
  if (has_pool_of(subject, "lvm") || has_pool_of(subject, "lvm-thin")) {
    look_at_module("dm_mod", "LVM", examination);
  }
  if (has_pool_of(subject, "lvm-thin")) look_at_module("dm_thin_pool", "thin pools", examination);
  if (has_pool_of(subject, "file")) look_at_module("loop", "file pools", examination);
}

void look_at_drbd(const Examination& examination) {
  const Subject& subject = examination.subject;
  if (!is_mirroring(subject)) return;  // no mirrored volumes are wanted here
  Report& report = examination.report;
  drbd::Drbd drbd(examination.runner, {.config_directory = "",
                                       .module = {.directory = subject.places.sys + "/module/drbd",
                                                  .proc = subject.places.proc + "/drbd"},
                                       .try_nine = subject.try_nine});
  constexpr const char* kWhat = "DRBD";
  constexpr const char* kWanted = "8.4.4 or later of 8.4";
  try {
    drbd.load_module();
  } catch (const Error& error) {
    return report.fault(kWhat, error.what(), kWanted,
                        "until this is fixed, this node can only have volumes with one replica");
  }
  report.ok(kWhat, drbd.module_version(), kWanted);
  report.look("DRBD's usermode_helper", "load the kernel module drbd again (modprobe drbd)",
              [&] { look_at_helper(subject, report); });
  look_at_arguments(subject, report);
}

}  // namespace plexvol::doctor
