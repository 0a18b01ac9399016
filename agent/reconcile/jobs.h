// Tools that may run for minutes or hours: mkfs, fsck, a promotion that waits for the store. Each
// runs on a thread of its own, so that it keeps no worker, and a pass that comes meanwhile can
// still end a freeze.
//
// run() joins: a call for the same work on the same volume waits for the job that runs, or takes
// the result of one that has ended. The next pass drops a result that it does not ask for, so an
// old result never counts for a newer look at the device.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>

#include "agent/api/error.h"

namespace plexvol::reconcile {

class Jobs {
 public:
  // After a reboot every volume may want its file system checked: only some at a time keep the
  // disks busy, and the others wait for their turn, though not for ever: a disk that hangs must
  // not keep the others' volumes.
  enum class Load { Disk, None };

  // `ended` is called with the volume after each job that nobody waits for at that moment, from the
  // job's thread; it must not call back.
  // `patience`: how long run() waits. Most jobs end within it, and the pass goes on at once.
  explicit Jobs(std::function<void(const std::string& volume)> ended,
                std::chrono::milliseconds patience = std::chrono::seconds(2));
  Jobs(const Jobs&) = delete;
  Jobs& operator=(const Jobs&) = delete;
  // Waits for all that run: what is killed in the middle would have to be done again.
  ~Jobs();

  // Starts `work` for the volume unless it runs or has just ended, waits for it a little, and
  // returns or throws as it did. Throws Unavailable while it, or another job of this volume, runs.
  // `what` identifies it, also in messages: "e2fsck on /dev/drbd1000". `work` may outlive the pass:
  // it owns all that it uses but the agent's tools. One thread at a time for each volume.
  void run(const std::string& volume, const std::string& what, Load load,
           std::function<void()> work);

  // What runs for the volume, in words that do not change while it does: "e2fsck on /dev/drbd1000
  // has been running since 2024-05-01T10:00:00Z".
  std::optional<std::string> find_running(const std::string& volume) const;
  // Forgets the result of one that has ended, unless it is of `wanted`.
  void drop_ended(const std::string& volume, const std::string& wanted);

 private:
  struct Job {
    std::string what;
    std::string since;
    bool waits = false;  // for its turn
    bool awaited = false;
    bool ended = false;
    std::optional<Error> error;
    std::thread thread;
  };

  static std::string describe(const Job& job);
  // False: nobody gave up theirs in time, and it goes on all the same.
  bool take_turn(Job& job);
  void work_on(const std::string& volume, Job& job, const std::function<void()>& work);
  // With the mutex held. remove() is for one that has ended.
  Job& start(const std::string& volume, const std::string& what, Load load,
             std::function<void()> work);
  void remove(const std::string& volume);

  std::function<void(const std::string&)> ended_;
  std::chrono::milliseconds patience_;
  std::chrono::seconds longest_wait_{60};
  std::counting_semaphore<> turns_{4};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::unique_ptr<Job>> jobs_;  // by volume
};

}  // namespace plexvol::reconcile
