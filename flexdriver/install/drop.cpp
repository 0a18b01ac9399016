#include "flexdriver/install/drop.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/files.h"
#include "flexdriver/install/init_check.h"
#include "flexdriver/install/install_lock.h"
#include "flexdriver/settings.h"

namespace plexvol::driver {

namespace {

using Json = nlohmann::ordered_json;
using Text = std::optional<std::string>;

constexpr const char* kStagedFolder = ".plexvol~plexvol.new";
constexpr const char* kNew = ".plexvol.new";
constexpr const char* kPrevious = ".plexvol.previous";
constexpr const char* kSparePrevious = ".plexvol.previous.new";
constexpr const char* kBack = ".plexvol.back";
constexpr const char* kSettings = ".plexvol.json";
constexpr const char* kNewSettings = ".plexvol.json.new";
constexpr const char* kGoodSettings = ".plexvol.json.good";
constexpr std::size_t kMostBytes = 64U << 20U;

std::string read_new_driver(const std::string& executable) {
  const base::Descriptor file(
      ::open(executable.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  auto text = file.is_open() ? base::read_all(file.get(), kMostBytes) : std::nullopt;
  if (!text) fail("read", executable);
  return *std::move(text);
}

// Of the driver that kubelets call now. One that others can have put there counts as none.
Text read_driver(const TrustedDir& folder) {
  try {
    return folder.read(kDriverName, kMostBytes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Conflict) throw;
    return std::nullopt;
  }
}

std::string settings_text(const TrustedDir& folder, const DropSettings& wanted) {
  const Text before = folder.read(kSettings, kMostBytes);
  const Text good = folder.read(kGoodSettings, kMostBytes);
  Json json = before ? Json::parse(*before, nullptr, false) : Json::object();
  const bool can_be_used =
      before && !before->empty() && parse_settings(*before, "").problem.empty();
  if (good && !can_be_used) json = Json::parse(*good, nullptr, false);
  if (!json.is_object()) {
    throw Error(ErrorCode::Conflict, folder.path_of(kSettings) +
                                         " is not a JSON object: mend or remove it, then install "
                                         "again");
  }
  if (wanted.attach) json["attach"] = *wanted.attach;
  if (wanted.socket) json["socket"] = *wanted.socket;
  if (wanted.timeout_seconds) json["timeout_seconds"] = *wanted.timeout_seconds;
  const std::string problem = parse_settings(json.dump(), "").problem;
  if (!problem.empty()) throw Error(ErrorCode::InvalidArgument, problem);
  return json.dump(2) + '\n';
}

// nullopt: there are none.
void write_settings(const TrustedDir& folder, const Text& text) {
  const bool is_good = !text || parse_settings(*text, "").problem.empty();
  for (const char* name : {kGoodSettings, kSettings}) {
    if (name == kGoodSettings && !is_good) continue;
    if (folder.read(name, kMostBytes) == text) continue;
    if (!text) {
      folder.remove(name);
      continue;
    }
    folder.write(kNewSettings, *text, 0644);
    folder.rename(kNewSettings, name);
  }
}

// Whoever looks meanwhile sees one name or the other, never none.
void keep_previous(const TrustedDir& folder) {
  folder.link(kDriverName, kSparePrevious);
  folder.rename(kSparePrevious, kPrevious);
}

// A first installation: the folder appears with all that is in it.
void drop_folder(const TrustedDir& plugin_dir, const std::string& text,
                 const DropSettings& settings) {
  plugin_dir.remove_child(kStagedFolder);
  bool in_place = false;
  try {
    plugin_dir.make_child(kStagedFolder);
    const TrustedDir staged = plugin_dir.walk(kStagedFolder);
    staged.write(kDriverName, text, 0755);
    require_init(staged, kDriverName);
    write_settings(staged, settings_text(staged, settings));
    plugin_dir.rename(kStagedFolder, kDriverFolder);
    in_place = true;
    require_init(plugin_dir.walk(kDriverFolder), kDriverName);
  } catch (const Error&) {
    plugin_dir.remove_child(in_place ? kDriverFolder : kStagedFolder);
    throw;
  }
}

// Tried out beside the old one.
void stage(const TrustedDir& folder, const std::string& text) {
  folder.write(kNew, text, 0755);
  try {
    require_init(folder, kNew);
  } catch (const Error&) {
    folder.remove(kNew);
    throw;
  }
}

// What kubelets call is `before` again.
void restore(const TrustedDir& folder, const Text& before) {
  if (read_driver(folder) == before) return;
  if (!before) return folder.remove(kDriverName);
  folder.write(kNew, *before, 0755);
  folder.rename(kNew, kDriverName);
}

// Kubelets ignore the settings file's name, and read what is in it by `init` only after an event of
// the driver's own (contract fact 14).
void touch_driver(const TrustedDir& folder) {
  const auto driver = folder.open_file(kDriverName);
  if (driver) ::fchmod(driver->get(), 0755);
}

DropResult replace(const TrustedDir& folder, const std::string& text,
                   const DropSettings& settings) {
  const Text before = read_driver(folder);
  const Text settings_before = folder.read(kSettings, kMostBytes);
  const std::string settings_wanted = settings_text(folder, settings);
  const bool another = before != text;
  if (another) stage(folder, text);
  try {
    write_settings(folder, settings_wanted);
    if (another && before) {
      folder.remove(kBack);
      keep_previous(folder);
    }
    if (another) folder.rename(kNew, kDriverName);
    if (!another && settings_before != settings_wanted) touch_driver(folder);
    require_init(folder, kDriverName);
  } catch (const Error&) {
    restore(folder, before);
    write_settings(folder, settings_before);
    throw;
  }
  if (!another) return DropResult::Unchanged;
  return before ? DropResult::Replaced : DropResult::Installed;
}

struct Helper {
  std::string folder;
  std::string name;
};

Helper split_helper(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (!path.starts_with('/') || slash + 1 == path.size()) {
    throw Error(ErrorCode::InvalidArgument, "--helper must be the absolute path of a file");
  }
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

DropResult drop_driver(const TrustedDir& root, const std::string& plugin_dir,
                       const std::string& executable, const DropSettings& settings) {
  const std::string text = read_new_driver(executable);
  const InstallLock lock(root);
  const TrustedDir directory = root.walk(plugin_dir, Missing::Make);
  if (const auto folder = directory.find_child(kDriverFolder)) {
    return replace(*folder, text, settings);
  }
  drop_folder(directory, text, settings);
  return DropResult::Installed;
}

void roll_back(const TrustedDir& root, const std::string& plugin_dir) {
  const InstallLock lock(root);
  const auto directory = root.find(plugin_dir);
  const auto folder = directory ? directory->find_child(kDriverFolder) : std::nullopt;
  const auto program = folder ? folder->open_file(kPrevious) : std::nullopt;
  if (!program) {
    throw Error(ErrorCode::NotFound, root.path() + plugin_dir + "/" + kDriverFolder + "/" +
                                         kPrevious +
                                         " is not there: nothing was installed before this driver");
  }
  require_init(*program, folder->path_of(kPrevious));
  // One that was killed midway has the old one under no other name any more.
  const Text now = read_driver(*folder);
  const bool midway = folder->has(kBack) && now && folder->read(kPrevious, kMostBytes) == now;
  if (midway) {
    require_init(*folder, kBack);
  } else {
    folder->link(kPrevious, kBack);
    if (now) keep_previous(*folder);
  }
  folder->rename(kBack, kDriverName);
}

void drop_helper(const TrustedDir& root, const std::string& path, const std::string& executable) {
  const Helper helper = split_helper(path);
  const std::string text = read_new_driver(executable);
  const InstallLock lock(root);
  const TrustedDir folder = root.walk(helper.folder, Missing::Make);
  try {
    if (folder.read(helper.name, kMostBytes) == text) return;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Conflict) throw;  // another's file: replaced
  }
  const std::string fresh = helper.name + ".new";
  folder.write(fresh, text, 0755);
  require_init(folder, fresh);
  folder.rename(fresh, helper.name);
}

void remove_helper(const TrustedDir& root, const std::string& path) {
  const Helper helper = split_helper(path);
  const auto folder = root.find(helper.folder);
  if (folder) folder->remove(helper.name);
}

}  // namespace plexvol::driver
