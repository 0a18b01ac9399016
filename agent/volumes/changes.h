// Tells callers that something in the store has changed, so that a program outside of the agent can
// keep a view of volumes and nodes without polling all of them.
//
// All calls may be made from any thread. While there are callers, and for a while after the last
// one, there is one watch on the store and one thread.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "agent/store/store.h"
#include "agent/volumes/await.h"

namespace plexvol::volumes {

class Changes {
 public:
  // `linger`: how long the watch is kept after the last call, for the next one.
  explicit Changes(store::Store& store, std::chrono::milliseconds linger = std::chrono::minutes(2));
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;
  ~Changes() = default;

  // Returns the latest token: at once when that is not `since`, else after the next change below
  // volumes/, current/, attachments/, status/, alive/, nodes/ or cordons/, or at the call's
  // deadline. A token of another process, or of a watch that has ended meanwhile, is never the
  // latest, since changes may have been missed. For the same reason it is a change when the store
  // lost track of the watch, as after an outage. Throws Unavailable when the call is cancelled.
  std::string await(const std::string& since, const Call& call);

 private:
  struct Session;

  std::shared_ptr<Session> join();
  static void leave(Session& session);
  static void keep(Session& session, std::chrono::milliseconds linger, const std::stop_token& stop);

  store::Store& store_;
  const std::chrono::milliseconds linger_;
  std::mutex mutex_;
  std::shared_ptr<Session> session_;  // under mutex_
  std::jthread keeper_;               // under mutex_: of session_; ends the watch
};

}  // namespace plexvol::volumes
