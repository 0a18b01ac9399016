// What a pass works with: the store, the arbiter and the tools of this node.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "agent/arbiter/arbiter.h"
#include "agent/drbd/drbd.h"
#include "agent/filesystem/filesystem.h"
#include "agent/mounting/mount_calls.h"
#include "agent/pods/pods.h"
#include "agent/reconcile/jobs.h"
#include "agent/reconcile/links.h"
#include "agent/reconcile/pools.h"
#include "agent/store/typed_store.h"

namespace plexvol::reconcile {

struct Tools {
  store::TypedStore& store;
  arbiter::Arbiter& arbiter;
  const std::map<std::string, std::unique_ptr<Pool>>& pools;  // by name
  drbd::Drbd& drbd;
  filesystem::Filesystem& filesystem;
  mounting::MountCalls& calls;
  const pods::Pods& pods;
  Jobs& jobs;
  Links links;
};

}  // namespace plexvol::reconcile
