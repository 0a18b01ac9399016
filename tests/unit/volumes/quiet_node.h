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
  // Of 1 GiB, on n3 alone, with a file system; and its pool has room for 10 more.
  model::Volume put_lone_volume() {
    announce(10 * kGi);
    model::Volume volume;
    volume.name = "v";
    volume.id = "id";
    volume.pool = "p";
    volume.size_bytes = kGi;
    volume.replicas = {{"n3", true, false}};
    volume.format = model::Format::Done;
    put(store::keys::volume("v"), model::to_json(volume));
    return volume;
  }
  // What n3 says of it.
  void put_status(std::uint64_t device_bytes, const std::string& error = "") {
    model::Status status;
    status.session = "s";
    status.device_bytes = device_bytes;
    status.error = error;
    status.error_code = ErrorCode::Conflict;
    put(store::keys::status("n3", "v"), model::to_json(status));
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
