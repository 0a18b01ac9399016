#include "agent/reconcile/jobs.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <thread>

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::reconcile::Jobs;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Jobs that nobody has the patience to wait for: each works until it is let go.
struct Slow {
  std::promise<void> go;
  std::promise<std::string> ended;
  std::atomic<int> runs = 0;
  Jobs jobs{[this](const std::string& volume) { ended.set_value(volume); }, milliseconds(0)};

  // What run() threw, "" when the job has ended well.
  std::string run(const std::string& what) {
    const auto work = [this, gone = gone_] {
      ++runs;
      gone.wait();
      throw Error(ErrorCode::Conflict, "the disk is full");
    };
    try {
      jobs.run("v", what, Jobs::Load::None, work);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  bool starts(const std::string& what) {
    return run(what).starts_with("volume v: " + what + " has been running since ");
  }

  // Until it has ended, and said so.
  std::string finish() {
    go.set_value();
    return ended.get_future().get();
  }

 private:
  std::shared_future<void> gone_ = go.get_future().share();
};

}  // namespace

TEST_CASE("jobs: one that ends soon is waited for, and nobody is told of it") {
  int told = 0;
  Jobs jobs([&told](const std::string&) { ++told; }, seconds(20));
  int runs = 0;
  jobs.run("v", "mkfs", Jobs::Load::Disk, [&runs] { ++runs; });
  CHECK(runs == 1);
  CHECK_THROWS_WITH_AS(jobs.run("v", "mkfs", Jobs::Load::Disk,
                                [] { throw Error(ErrorCode::Conflict, "is no disk"); }),
                       "is no disk", Error);
  CHECK_FALSE(jobs.find_running("v"));
  CHECK(told == 0);
}

TEST_CASE("jobs: one that takes long keeps nobody; it is joined, and its result taken once [O12]") {
  Slow test;
  CHECK(test.starts("mkfs"));
  CHECK(test.starts("mkfs"));
  CHECK(test.run("fsck").starts_with("volume v: mkfs has been running since "));
  CHECK(test.jobs.find_running("v"));
  CHECK_FALSE(test.jobs.find_running("w"));
  CHECK(test.finish() == "v");
  CHECK_FALSE(test.jobs.find_running("v"));
  CHECK(test.run("mkfs") == "the disk is full");
  CHECK(test.runs == 1);
}

TEST_CASE("jobs: a result that the next pass does not want is dropped") {
  Slow test;
  CHECK(test.starts("fsck"));
  test.finish();
  SUBCASE("it wants it") {
    test.jobs.drop_ended("v", "fsck");
    CHECK(test.run("fsck") == "the disk is full");
    CHECK(test.runs == 1);
  }
  SUBCASE("it wants nothing") {
    test.jobs.drop_ended("v", "");
    int runs = 0;
    Jobs::Load load = Jobs::Load::Disk;
    std::promise<void> ran;
    test.ended = {};
    try {
      test.jobs.run("v", "fsck", load, [&] {
        ++runs;
        ran.set_value();
      });
    } catch (const Error&) {
      // Its end is told then.
      test.ended.get_future().wait();
    }
    ran.get_future().wait();
    CHECK(runs == 1);
  }
}

TEST_CASE("jobs: only some keep the disks busy at a time, and a promotion waits for none") {
  struct Gate {
    std::promise<void> go;
    std::shared_future<void> gone = go.get_future().share();
    ~Gate() { go.set_value(); }
  };
  Jobs jobs([](const std::string&) {}, milliseconds(0));
  const Gate gate;
  const auto start = [&](const std::string& volume, Jobs::Load load) {
    CHECK_THROWS_AS(jobs.run(volume, "work", load, [gone = gate.gone] { gone.wait(); }), Error);
  };
  const auto waits = [&](const std::string& volume) {
    const auto words = jobs.find_running(volume);
    return words && words->starts_with("work has been waiting for ");
  };
  for (const char* volume : {"1", "2", "3", "4", "5", "6"}) start(volume, Jobs::Load::Disk);
  std::promise<void> promoted;
  CHECK_THROWS_AS(jobs.run("7", "work", Jobs::Load::None,
                           [&promoted, gone = gate.gone] {
                             promoted.set_value();
                             gone.wait();
                           }),
                  Error);
  promoted.get_future().wait();
  CHECK_FALSE(waits("7"));
  // Two of the six wait still when the others have their turn.
  const auto count_waiting = [&] {
    return waits("1") + waits("2") + waits("3") + waits("4") + waits("5") + waits("6");
  };
  while (count_waiting() > 2) std::this_thread::yield();
  CHECK(count_waiting() == 2);
}
