// n3's doors on a store of its own, without anybody who works on the volumes.
#pragma once

#include <cstdint>
#include <string>

#include "agent/commands/commands.h"
#include "agent/flexvolume/flexvolume.h"
#include "agent/model/codec.h"
#include "agent/store/file_store.h"
#include "agent/volumes/use_cases.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::volumes {

inline constexpr std::uint64_t kGi = 1ULL << 30;

struct QuietNode {
  support::TemporaryDirectory directory;
  store::FileStore raw{directory.path()};
  store::TypedStore store{raw};
  store::ActedSets acted{directory.path() / "acted"};
  arbiter::Arbiter arbiter{store, acted};
  mounting::MountCalls calls{[](const std::string&) {}};
  UseCases use_cases{store, arbiter, calls, {.here = "n3", .session = "s", .version = "1"}};
  flexvolume::FlexVolume flexvolume{use_cases, "/dev/plexvol"};
  commands::Commands commands{use_cases, [] {}};

  void put(const std::string& key, const std::string& value) {
    store.commit(store::Change().put(key, value));
  }
  // n3's agent is alive, and its pool "p" has this much room.
  void announce(std::uint64_t room) {
    put(store::keys::alive("n3"), "s");
    put(store::keys::node("n3"),
        model::to_json(model::Node{.name = "n3",
                                   .address = "10.0.0.3",
                                   .version = "1",
                                   .drbd_version = "",
                                   .mirror_error = "",
                                   .pools = {{"p", "lvm", room, room, ""}}}));
  }
  // Made of n1's and n2's copies.
  static model::Volume new_volume() {
    model::Volume volume;
    volume.name = "v";
    volume.id = "id";
    volume.minor = 1000;
    volume.replicas = {{"n1", true, false}, {"n2", true, false}};
    return volume;
  }
};

}  // namespace plexvol::volumes
