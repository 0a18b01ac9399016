#include "agent/reconcile/pools.h"

#include <fmt/core.h>

#include <algorithm>
#include <mutex>
#include <string_view>

#include "agent/filepool/filepool.h"
#include "agent/lvm/lvm.h"

namespace plexvol::reconcile {

namespace {

// What a logical volume of ours carries. The id keeps a volume from taking over what is left of an
// older one of its name.
constexpr const char* kTag = "plexvol";
constexpr const char* kMakingTag = "plexvol.making";

constexpr std::string_view kIdTag = "plexvol.id=";

std::string id_tag(const std::string& volume_id) {
  return std::string(kIdTag) + volume_id;
}

bool has(const std::vector<std::string>& tags, const std::string& tag) {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

Backing to_backing(const std::string& path, const std::string& device, bool active,
                   const std::vector<std::string>& tags, const std::string& volume_id) {
  return {.path = path,
          .device = device,
          .active = active,
          .ours = has(tags, kTag) && has(tags, id_tag(volume_id)),
          .making = has(tags, kMakingTag)};
}

void add_owned(const std::string& name, const std::vector<std::string>& tags,
               std::vector<Owned>& owned) {
  if (!has(tags, kTag)) return;
  for (const std::string& tag : tags) {
    if (tag.starts_with(kIdTag)) owned.push_back({name, tag.substr(kIdTag.size())});
  }
}

class LvmPool : public Pool {
 public:
  LvmPool(PoolSettings settings, process::Runner& runner)
      : settings_(std::move(settings)), lvm_(runner) {}

  std::map<std::string, Backing> find(const std::vector<std::string>& names,
                                      const std::string& volume_id) override {
    const auto before = active_uuids(names);
    std::map<std::string, Backing> found;
    for (const auto& volume : lvm_.list_logical_volumes(settings_.volume_group)) {
      if (!has(names, volume.name)) continue;
      check_whole(volume);
      found[volume.name] =
          to_backing(volume.path, volume.path, volume.active, volume.tags, volume_id);
    }
    std::vector<std::string> finished;
    for (const auto& [name, backing] : found) {
      if (backing.ours && !backing.making) finished.push_back(name);
    }
    remember(finished, volume_id, before);
    return found;
  }

  // The volume group itself was read.
  bool absence_is_certain() const override { return true; }

  std::optional<std::map<std::string, Backing>> recall(const std::vector<std::string>& names,
                                                       const std::string& volume_id) override {
    const auto uuids = active_uuids(names);
    const std::lock_guard lock(mutex_);
    std::map<std::string, Backing> found;
    for (const std::string& name : names) {
      const auto finished = finished_.find(name);
      if (uuids.at(name).empty() || finished == finished_.end() ||
          finished->second != Finished{uuids.at(name), volume_id}) {
        return std::nullopt;
      }
      found[name] = *known(name);
    }
    return found;
  }

  std::optional<Backing> known(const std::string& name) const override {
    return active_backing(name, false);
  }

  Backing create(const std::string& name, std::uint64_t size_bytes,
                 const std::string& volume_id) override {
    lvm_.create_logical_volume({.volume_group = settings_.volume_group,
                                .name = name,
                                .thin_pool = settings_.thin_pool,
                                .size_bytes = size_bytes,
                                .tags = {kTag, kMakingTag, id_tag(volume_id)}});
    const std::string uuid = lvm::active_uuid(settings_.volume_group, name);
    const std::lock_guard lock(mutex_);
    created_[name] = uuid;
    return active_backing(name, true);
  }

  void grow(const std::string& name, std::uint64_t size_bytes) override {
    lvm_.extend_logical_volume(settings_.volume_group, name, settings_.thin_pool, size_bytes);
  }

  void finish(const std::vector<std::string>& names, const std::string& volume_id) override {
    lvm_.remove_tag(settings_.volume_group, names, kMakingTag);
    remember(names, volume_id, take_created(names));
  }
  void activate(const std::string& name) override { lvm_.activate(settings_.volume_group, name); }
  void remove(const std::vector<std::string>& names) override {
    lvm_.remove_logical_volumes(settings_.volume_group, names);
    const std::lock_guard lock(mutex_);
    for (const std::string& name : names) finished_.erase(name);
  }
  void remove_remains(const std::string&) override {}

  std::vector<Owned> list_owned() override {
    std::vector<Owned> owned;
    for (const auto& volume : lvm_.list_logical_volumes(settings_.volume_group)) {
      if (!volume.unreadable.empty()) continue;
      if (volume.thin_pool == settings_.thin_pool) add_owned(volume.name, volume.tags, owned);
    }
    return owned;
  }

  void measure(model::Pool& pool) override {
    if (settings_.thin_pool.empty()) {
      const auto group = lvm_.get_volume_group(settings_.volume_group);
      pool.total_bytes = group.size_bytes;
      pool.free_bytes = group.free_bytes;
      pool.extent_bytes = group.extent_bytes;
      check_no_device_missing(group.missing_devices);
      return;
    }
    const auto thin = lvm_.get_thin_pool(settings_.volume_group, settings_.thin_pool);
    pool.total_bytes = thin.size_bytes;
    pool.free_bytes = static_cast<std::uint64_t>(static_cast<double>(thin.size_bytes) *
                                                 (100 - thin.data_percent) / 100);
    pool.extent_bytes = thin.extent_bytes;
    check_no_device_missing(thin.missing_devices);
  }

 private:
  struct Finished {
    std::string uuid;
    std::string volume_id;

    bool operator==(const Finished&) const = default;
  };

  Backing active_backing(const std::string& name, bool making) const {
    const std::string path = lvm::path_of(settings_.volume_group, name);
    return {.path = path, .device = path, .active = true, .ours = true, .making = making};
  }

  // Whose it is, or how much of its data there is, cannot be told of these.
  void check_whole(const lvm::LogicalVolume& volume) const {
    const std::string path = lvm::path_of(settings_.volume_group, volume.name);
    if (!volume.unreadable.empty()) {
      throw Error(ErrorCode::Internal, path + ": " + volume.unreadable);
    }
    if (!volume.partial) return;
    throw Error(ErrorCode::Conflict,
                fmt::format("{}: a physical volume under it is missing from volume group {} (see "
                            "pvs and vgs): bring that disk back",
                            path, settings_.volume_group));
  }

  // Nothing can be made in such a group, and what is there may be broken.
  void check_no_device_missing(unsigned count) const {
    if (count == 0) return;
    throw Error(
        ErrorCode::Conflict,
        fmt::format("volume group {}: {} physical {} missing (see pvs and vgs): bring the disk "
                    "back, or, if it is lost for good, run vgreduce --removemissing",
                    settings_.volume_group, count, count == 1 ? "volume is" : "volumes are"));
  }

  std::map<std::string, std::string> active_uuids(const std::vector<std::string>& names) const {
    std::map<std::string, std::string> uuids;
    for (const std::string& name : names) {
      uuids[name] = lvm::active_uuid(settings_.volume_group, name);
    }
    return uuids;
  }

  // What create() made, "" where that was a former life of this agent.
  std::map<std::string, std::string> take_created(const std::vector<std::string>& names) {
    const std::lock_guard lock(mutex_);
    std::map<std::string, std::string> uuids;
    for (const std::string& name : names) {
      uuids[name] = created_[name];
      created_.erase(name);
    }
    return uuids;
  }

  // Of those that were the same ones all the time since `before`.
  void remember(const std::vector<std::string>& names, const std::string& volume_id,
                const std::map<std::string, std::string>& before) {
    const auto now = active_uuids(names);
    const std::lock_guard lock(mutex_);
    for (const std::string& name : names) {
      if (now.at(name) == before.at(name)) finished_[name] = {now.at(name), volume_id};
    }
  }

  PoolSettings settings_;
  lvm::Lvm lvm_;
  std::mutex mutex_;
  // By logical volume.
  std::map<std::string, std::string> created_;
  std::map<std::string, Finished> finished_;
};

class ImagePool : public Pool {
 public:
  ImagePool(const PoolSettings& settings, process::Runner& runner)
      : files_(runner, settings.directory) {}

  std::map<std::string, Backing> find(const std::vector<std::string>& names,
                                      const std::string& volume_id) override {
    std::map<std::string, Backing> found;
    for (const std::string& name : names) {
      const auto image = files_.find_image(name);
      if (!image) continue;
      found[name] =
          to_backing(image->path, image->device, !image->device.empty(), image->tags, volume_id);
    }
    return found;
  }

  // The directory may be the mount point of a file system that is not mounted.
  bool absence_is_certain() const override { return false; }

  std::optional<std::map<std::string, Backing>> recall(const std::vector<std::string>&,
                                                       const std::string&) override {
    return std::nullopt;
  }

  std::optional<Backing> known(const std::string&) const override { return std::nullopt; }

  Backing create(const std::string& name, std::uint64_t size_bytes,
                 const std::string& volume_id) override {
    files_.create_image(name, size_bytes, {kTag, kMakingTag, id_tag(volume_id)});
    const auto found = find({name}, volume_id);
    if (!found.empty()) return found.begin()->second;
    throw Error(ErrorCode::Unavailable,
                fmt::format("the new image {} was removed by another program", name));
  }
  void grow(const std::string& name, std::uint64_t size_bytes) override {
    files_.grow_image(name, size_bytes);
  }
  void finish(const std::vector<std::string>& names, const std::string& volume_id) override {
    for (const std::string& name : names) files_.set_tags(name, {kTag, id_tag(volume_id)});
  }
  void activate(const std::string& name) override { files_.activate(name); }
  void remove(const std::vector<std::string>& names) override {
    for (const std::string& name : names) files_.remove_image(name);
  }
  // Its tags, and a loop device on the deleted file. A file of that name is a stranger's, now.
  void remove_remains(const std::string& name) override {
    if (!files_.find_image(name)) files_.remove_image(name);
  }

  std::vector<Owned> list_owned() override {
    std::vector<Owned> owned;
    for (const auto& image : files_.list_images()) add_owned(image.name, image.tags, owned);
    return owned;
  }

  void measure(model::Pool& pool) override {
    const auto space = files_.space();
    pool.total_bytes = space.total_bytes;
    pool.free_bytes = space.free_bytes;
  }

 private:
  filepool::FilePool files_;
};

}  // namespace

std::unique_ptr<Pool> make_pool(const PoolSettings& settings, process::Runner& runner) {
  if (settings.type == "lvm" || settings.type == "lvm-thin") {
    return std::make_unique<LvmPool>(settings, runner);
  }
  if (settings.type == "file") return std::make_unique<ImagePool>(settings, runner);
  throw Error(ErrorCode::InvalidArgument,
              fmt::format("pool {} has the unknown type \"{}\": use lvm, lvm-thin or file",
                          settings.name, settings.type));
}

}  // namespace plexvol::reconcile
