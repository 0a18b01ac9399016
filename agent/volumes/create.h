// Makes volumes, in the store: what their nodes have to make is then theirs to see.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "agent/api/protocol.h"
#include "agent/model/model.h"
#include "agent/placement/placement.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/await.h"
#include "agent/volumes/new_volume.h"
#include "agent/volumes/settings.h"
#include "agent/volumes/turns.h"
#include "agent/volumes/wanted.h"

namespace plexvol::volumes {

class Creation {
 public:
  Creation(store::TypedStore& store, Turns& turns, const Settings& settings)
      : store_(store), turns_(turns), settings_(settings) {}

  // The volume that exists when it was made by this call before, or by one like it. Throws
  // AlreadyExists when it has other properties, OutOfSpace, InvalidArgument. With a first node,
  // OutOfSpace says that the volume can be made when another node comes first; when it cannot, that
  // is Unavailable.
  model::Volume create(const NewVolume& wanted);
  // The same, and waits until its replicas are there and connected. Throws also what keeps a node
  // from making its replica, Conflict when the volume is deleted meanwhile, and AlreadyExists when
  // it belongs to another tenant.
  api::VolumeInfo create_and_await(const NewVolume& wanted, const Call& call);
  // Made when it does not exist and a size is given; one of its copies is then on `node`.
  model::Volume find_or_create(const Wanted& wanted, const std::string& node);
  // The volume with what it takes on; throws when it is no longer this one.
  model::Volume take_up(const Wanted& wanted, const model::Volume& volume);

 private:
  using Placements = std::map<std::string, std::int64_t>;  // by node: keys::placement()'s revision

  static bool is_same(const NewVolume& wanted, const std::string& fs_type,
                      const model::Volume& old);
  placement::Placement place(const NewVolume& wanted, Placements& placements);
  bool store_new(model::Volume volume, bool mirrored, const std::string& tenant,
                 const Placements& placements);
  void check_mkfs(const std::string& fs_type, const std::string& mkfs_options,
                  std::uint64_t size_bytes) const;

  store::TypedStore& store_;
  Turns& turns_;
  const Settings& settings_;
};

}  // namespace plexvol::volumes
