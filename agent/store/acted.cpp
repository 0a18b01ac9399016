#include "agent/store/acted.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/base/fingerprint.h"
#include "agent/model/codec.h"

namespace plexvol::store {

namespace {

// "<fingerprint of the rest> <sequence> <json>\n", and line breaks up to its end.
constexpr std::size_t kSlotBytes = 8192;
constexpr std::size_t kHeaderBytes = 34;

[[noreturn]] void fail(const std::string& what, const std::string& path, int error) {
  throw Error(
      ErrorCode::Internal,
      fmt::format("{}: cannot {}: {}; until this works, no volume whose current set changes "
                  "can be used on this node",
                  path, what, base::error_text(error)));
}

std::string to_slot(std::uint64_t sequence, const model::Acted& acted) {
  const std::string body = base::to_hex(sequence) + ' ' + model::to_json(acted);
  std::string slot = base::fingerprint(body) + ' ' + body + '\n';
  if (slot.size() <= kSlotBytes) slot.resize(kSlotBytes, '\n');
  return slot;
}

struct Slot {
  std::uint64_t sequence = 0;
  model::Acted acted;
};

// nullopt: never written, or torn.
std::optional<Slot> from_slot(std::string_view slot) {
  const std::size_t end = slot.find('\n');
  if (end == std::string_view::npos || end < kHeaderBytes) return std::nullopt;
  const std::string_view body = slot.substr(17, end - 17);
  if (slot.substr(0, 16) != base::fingerprint(body)) return std::nullopt;
  Slot found;
  const auto [stop, error] = std::from_chars(body.data(), body.data() + 16, found.sequence, 16);
  if (error != std::errc() || stop != body.data() + 16) return std::nullopt;
  found.acted = model::from_json<model::Acted>(std::string(body.substr(17)));
  return found;
}

void write_at(const base::Descriptor& file, std::string_view text, std::size_t offset,
              const std::string& path) {
  if (!base::write_all_at(file.get(), text, offset) || ::fdatasync(file.get()) != 0) {
    fail("write", path, errno);
  }
}

void make_directory(const std::string& directory) {
  std::error_code error;
  if (!std::filesystem::create_directories(directory, error)) {
    if (error) fail("make", directory, error.value());
    return;
  }
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all, error);
  if (error) fail("make", directory, error.value());
  const std::string above = std::filesystem::path(directory).parent_path();
  if (!base::sync_directory(above)) fail("sync", above, errno);
}

// Both slots at once: so a file that exists was whole once.
void make_file(const std::string& directory, const std::string& path, const std::string& slot) {
  make_directory(directory);
  if (!base::replace_file(path, slot + slot)) fail("write", path, errno);
}

std::string read_slots(const base::Descriptor& file, const std::string& path) {
  auto text = base::read_from_start(file.get(), 2 * kSlotBytes);
  if (!text) fail("read", path, errno);
  text->resize(2 * kSlotBytes, '\n');
  return *text;
}

std::string last_id(const model::Current& current) {
  const auto& changes = current.history.changes;
  return changes.empty() ? "" : changes.back().id;
}

model::Acted to_acted(const model::Volume& volume, const model::Current& current) {
  const auto& changes = current.history.changes;
  const auto kept = std::min(changes.size(), model::Acted::kMaxHistory);
  const auto first = changes.end() - static_cast<std::ptrdiff_t>(kept);
  return {.volume = volume.name,
          .volume_id = volume.id,
          .epoch = current.epoch,
          .id = last_id(current),
          .nodes = current.nodes,
          .formatted = volume.format == model::Format::Done,
          .record = model::to_json(volume),
          .history = {.changes = {first, changes.end()}}};
}

bool is_of(const model::Acted& known, const model::Current& current) {
  return known.epoch == current.epoch && known.id == last_id(current);
}

bool is_set_known(const model::Acted& known, const model::Volume& volume,
                  const model::Current& current) {
  return is_of(known, current) && known.formatted == (volume.format == model::Format::Done);
}

bool is_record_known(const model::Acted& known, const std::string& record) {
  return known.record == record || known.record.empty();
}

}  // namespace

std::string describe_contradiction(const model::Acted& acted, const model::Volume& volume,
                                   const std::optional<model::Current>& current) {
  const std::string why = model::find_contradiction(acted, volume, current);
  if (why.empty()) return "";
  return fmt::format(
      "volume {}: the store is older than what this node knows ({}); was an old backup of etcd "
      "restored? This node's replica is left unchanged: see `plexvol store repair`",
      volume.name, why);
}

void require_no_contradiction(const model::Acted& acted, model::Volume volume,
                              const model::Current& current) {
  volume.format = model::Format::Done;
  const std::string why = describe_contradiction(acted, volume, current);
  if (!why.empty()) throw Error(ErrorCode::Conflict, why);
}

std::string ActedSets::path_of(const std::string& volume_id) const {
  // It comes from the store, and names a file here.
  if (volume_id.empty() || volume_id.find('/') != std::string::npos || volume_id.front() == '.') {
    throw Error(ErrorCode::Internal, fmt::format("\"{}\" is not a volume id", volume_id));
  }
  return directory_ + "/" + volume_id;
}

std::shared_ptr<ActedSets::File> ActedSets::file_of(const std::string& volume_id) {
  const std::lock_guard lock(mutex_);
  auto& file = files_[volume_id];
  if (!file) file = std::make_shared<File>();
  return file;
}

void ActedSets::read(const std::string& volume_id, File& file) const {
  if (file.is_read) return;
  const std::string path = path_of(volume_id);
  const base::Descriptor opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened.is_open()) {
    if (errno != ENOENT) fail("read", path, errno);
  } else {
    const std::string text = read_slots(opened, path);
    std::optional<Slot> newest;
    for (const std::size_t at : {std::size_t{0}, kSlotBytes}) {
      auto slot = from_slot(std::string_view(text).substr(at, kSlotBytes));
      if (slot && (!newest || slot->sequence > newest->sequence)) newest = std::move(slot);
    }
    if (!newest || newest->acted.volume_id != volume_id) {
      throw Error(
          ErrorCode::Internal,
          path +
              ": damaged, so it is unknown which current set this node last used: if etcd was not "
              "restored from a backup, remove the file and restart the agent");
    }
    file.sequence = newest->sequence;
    file.acted = std::move(newest->acted);
  }
  file.is_read = true;
}

void ActedSets::write(const std::string& volume_id, File& file, model::Acted next) const {
  const std::string path = path_of(volume_id);
  std::string slot = to_slot(file.sequence + 1, next);
  if (slot.size() > kSlotBytes) {
    next.record.clear();
    next.history.changes.clear();
    slot = to_slot(file.sequence + 1, next);
  }
  if (slot.size() > kSlotBytes) {
    throw Error(ErrorCode::Internal,
                fmt::format("{}: the record of volume {} is too large", path, next.volume));
  }
  if (!file.acted) {
    make_file(directory_, path, slot);
  } else {
    const base::Descriptor opened(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!opened.is_open()) fail("write", path, errno);
    write_at(opened, slot, (file.sequence + 1) % 2 * kSlotBytes, path);
  }
  ++file.sequence;
  file.acted = std::move(next);
}

std::optional<model::Acted> ActedSets::find(const std::string& volume_id) {
  const auto file = file_of(volume_id);
  const std::lock_guard lock(file->mutex);
  read(volume_id, *file);
  return file->acted;
}

bool ActedSets::knows_set(const model::Volume& volume, const model::Current& current) {
  const auto known = find(volume.id);
  return known && is_set_known(*known, volume, current);
}

bool ActedSets::knows_all(const model::Volume& volume, const model::Current& current) {
  const auto known = find(volume.id);
  return known && is_set_known(*known, volume, current) &&
         is_record_known(*known, model::to_json(volume));
}

void ActedSets::record(const model::Volume& volume, const model::Current& current) {
  const auto file = file_of(volume.id);
  const std::lock_guard lock(file->mutex);
  read(volume.id, *file);
  model::Acted next = to_acted(volume, current);
  if (file->acted) {
    const model::Acted& known = *file->acted;
    // Another thread may have seen more in between.
    if (known.epoch > next.epoch) return;
    require_no_contradiction(known, volume, current);
    next.formatted = next.formatted || known.formatted;
    next.unknown = known.unknown;
    const bool is_same = is_of(known, current) && known.formatted == next.formatted;
    if (is_same && is_record_known(known, next.record)) return;
  }
  write(volume.id, *file, std::move(next));
}

void ActedSets::remove(const std::string& volume_id) {
  const auto file = file_of(volume_id);
  const std::lock_guard lock(file->mutex);
  const std::string path = path_of(volume_id);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail("remove", path, errno);
  file->acted.reset();
  file->is_read = true;
}

std::vector<model::Acted> ActedSets::list() {
  std::vector<model::Acted> all;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".new")) continue;
    if (auto acted = find(name)) all.push_back(*std::move(acted));
  }
  return all;
}

}  // namespace plexvol::store
