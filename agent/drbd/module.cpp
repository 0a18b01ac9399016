// The kernel module: its version and its one parameter that matters.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/drbd/config_file.h"
#include "agent/drbd/drbd.h"
#include "agent/drbd/known_faults.h"
#include "agent/drbd/refusal.h"

namespace plexvol::drbd {
namespace {

constexpr std::size_t kMostHelper = 79;  // char drbd_usermode_helper[80] in the kernel

std::string helper_file(const ModuleFiles& module) {
  return module.directory + "/parameters/usermode_helper";
}

void write_helper(const std::string& path, const ModuleFiles& module) {
  const std::string parameter = helper_file(module);
  const base::Descriptor file(::open(parameter.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  // No newline: the kernel would take it for a part of the name, and each call would end with 255.
  const ssize_t wrote = file.get() < 0 ? -1 : ::write(file.get(), path.data(), path.size());
  const int number = errno;
  if (wrote != static_cast<ssize_t>(path.size()) || usermode_helper(module) != path) {
    throw Error(ErrorCode::Unsupported,
                fmt::format("cannot write {}: {}", parameter, base::error_text(number)));
  }
}

std::string first_word(const std::string& text) {
  std::istringstream stream(text);
  std::string word;
  stream >> word;
  return word;
}

}  // namespace

std::string Drbd::module_version() const {
  if (const auto version = read_file(settings_.module.directory + "/version"))
    return first_word(*version);
  // Built into the kernel, or without MODULE_VERSION: "version: 8.4.11 (api:1/proto:86-101)"
  const auto proc = read_file(settings_.module.proc);
  constexpr std::string_view kPrefix = "version: ";
  if (!proc || !proc->starts_with(kPrefix)) return "";
  return first_word(proc->substr(kPrefix.size()));
}

void Drbd::load_module() {
  std::string said;
  if (module_version().empty()) {
    const process::Output output =
        runner_.run({.argv = {"/usr/sbin/modprobe", "drbd"}, .input = {}});
    said = tool_words(output);
  }
  const std::string version = module_version();
  if (version.empty()) {
    throw Error(
        ErrorCode::Unsupported,
        fmt::format("the kernel has no DRBD: modprobe drbd: {}; install the distribution's package "
                    "of extra kernel modules, or use one replica",
                    said));
  }
  if (const std::string fault = find_known_fault(version); !fault.empty()) {
    throw Error(ErrorCode::Unsupported, fault + "; use one replica until then");
  }
  if (generation_of(version) == Generation::Nine && !settings_.try_nine) {
    throw Error(
        ErrorCode::Unsupported,
        fmt::format(
            "DRBD {} is loaded, but Plexvol's support for DRBD 9 has been tested only with its "
            "tools, never with its kernel module: use DRBD 8.4, or set drbd.newest to 9 for "
            "data that you can afford to lose",
            version));
  }
}

std::string usermode_helper(const ModuleFiles& module) {
  const auto helper = read_file(helper_file(module));
  if (helper) return helper->substr(0, helper->find('\n'));
  throw Error(ErrorCode::Unsupported,
              helper_file(module) + " does not exist: load the kernel module drbd (modprobe drbd)");
}

void set_usermode_helper(const std::string& path, const ModuleFiles& module) {
  const auto reject = [&](const std::string& why) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("\"{}\" cannot be DRBD's usermode helper: {}", path, why));
  };
  if (!path.starts_with('/')) reject("its path must be absolute");
  if (path.find_first_of(" \n\t") != std::string::npos) reject("its path must not contain blanks");
  if (path.size() > kMostHelper) reject("the kernel takes at most 79 characters");
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) reject("there is no such file");
  if (::access(path.c_str(), X_OK) != 0)
    reject("it is not executable, or its file system is mounted noexec");
  if (usermode_helper(module) == path) return;
  write_helper(path, module);
}

std::string take_usermode_helper(const std::string& path, const std::string& memory,
                                 const ModuleFiles& module) {
  std::string before = usermode_helper(module);
  // First the memory: a crash in between must not lose it.
  if (before != path) replace_file(memory, before);
  set_usermode_helper(path, module);
  return before;
}

std::string give_usermode_helper_back(const std::string& path, const std::string& memory,
                                      const ModuleFiles& module) {
  const auto before = read_file(memory);
  const bool ours = read_file(helper_file(module)) && usermode_helper(module) == path;
  if (before && ours) write_helper(*before, module);
  ::unlink(memory.c_str());
  return before && ours ? *before : "";
}

}  // namespace plexvol::drbd
