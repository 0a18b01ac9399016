// One stream of a watch, from its opening to its end. Private to the etcd_* files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "agent/store/etcd_calls.h"
#include "agent/store/etcd_client.h"

namespace plexvol::store {

struct WatchRange {
  std::string key;
  std::string range_end;
  std::int64_t start_revision = 0;
  std::size_t key_prefix_bytes = 0;  // left out of the keys that are told
};

// The stream must not outlive the caller and the call's cancellation. Throws as EtcdCaller does.
std::unique_ptr<EtcdWatchStream> open_watch_stream(EtcdCaller& caller, const EtcdCall& call,
                                                   const WatchRange& range);

}  // namespace plexvol::store
