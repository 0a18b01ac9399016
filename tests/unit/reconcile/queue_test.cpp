#include "agent/reconcile/queue.h"

#include <doctest/doctest.h>

using plexvol::reconcile::Queue;
using Names = std::vector<std::string>;

namespace {

std::string take(Queue& queue) {
  const auto item = queue.take();
  return item ? item->name : "";
}

bool is_next_read_ahead(Queue& queue) {
  return queue.take()->ahead != nullptr;
}

Queue::Ahead view() {
  return std::make_shared<const plexvol::store::VolumeView>();
}

}  // namespace

TEST_CASE("queue: what is added again keeps its place, so that it comes at all") {
  Queue queue;
  queue.add("first");
  queue.add("second");
  queue.add("first");
  CHECK(take(queue) == "first");
  CHECK(take(queue) == "second");
}

TEST_CASE("queue: what waits for a later try comes at once when it is added") {
  Queue queue;
  queue.add("v");
  CHECK(take(queue) == "v");
  queue.retry("v", std::chrono::hours(1), std::chrono::hours(1));
  queue.add("v");
  CHECK(take(queue) == "v");
}

TEST_CASE("queue: what is added while somebody has it comes right after") {
  Queue queue;
  queue.add("v");
  CHECK(take(queue) == "v");
  queue.add("v");
  queue.add("w");
  CHECK(take(queue) == "w");
  SUBCASE("done") {
    queue.done("v");
  }
  SUBCASE("to be tried again") {
    queue.retry("v", std::chrono::hours(1), std::chrono::hours(1));
  }
  CHECK(take(queue) == "v");
}

TEST_CASE("queue: what is claimed comes when it is offered, with what was read") {
  Queue queue;
  CHECK(queue.claim({"v", "w"}) == Names{"v", "w"});
  queue.offer("w", nullptr);
  queue.offer("v", view());
  CHECK_FALSE(is_next_read_ahead(queue));
  CHECK(is_next_read_ahead(queue));
}

TEST_CASE("queue: nothing that was read before an event is looked at after it") {
  Queue queue;
  queue.claim({"v"});
  SUBCASE("while it was read") {
    queue.add("v");
    queue.offer("v", view());
  }
  SUBCASE("while it waits") {
    queue.offer("v", view());
    queue.add("v");
  }
  SUBCASE("all may have changed while it waits") {
    queue.offer("v", view());
    CHECK(queue.claim({"v"}).empty());
  }
  CHECK_FALSE(is_next_read_ahead(queue));
}

TEST_CASE("queue: claiming adds what somebody has, and what waits for a later try") {
  Queue queue;
  queue.add("v");
  CHECK(take(queue) == "v");
  CHECK(queue.claim({"v"}).empty());
  queue.retry("v", std::chrono::hours(1), std::chrono::hours(1));
  CHECK(take(queue) == "v");
  queue.retry("v", std::chrono::hours(1), std::chrono::hours(1));
  CHECK(queue.claim({"v"}) == Names{"v"});
  queue.offer("v", nullptr);
  CHECK(take(queue) == "v");
}

TEST_CASE("queue: claiming keeps the place of what would come anyway") {
  Queue queue;
  queue.add("second");
  queue.add("first");
  CHECK(queue.claim({"first", "second"}).empty());
  CHECK(take(queue) == "second");
}

TEST_CASE("queue: what nobody takes for long is examined once, and keeps its place [O12]") {
  using std::chrono::milliseconds;
  Queue queue;
  queue.add("first");
  queue.add("second");
  const auto first = queue.take_overdue(milliseconds(0));
  REQUIRE(first);
  CHECK(first->name == "first");
  queue.examined(*first);
  CHECK(queue.take_overdue(milliseconds(0))->name == "second");
  queue.add("second");
  queue.done("second");
  // Something has happened to it since.
  CHECK(queue.take_overdue(milliseconds(0))->name == "second");
  queue.done("second");
  CHECK(take(queue) == "first");
  queue.stop();
  CHECK_FALSE(queue.take_overdue(milliseconds(0)));
}

TEST_CASE("queue: what was added while it was examined comes as it was added") {
  using std::chrono::milliseconds;
  Queue queue;
  queue.add("v");
  const auto item = queue.take_overdue(milliseconds(0));
  REQUIRE(item);
  queue.add("v");
  queue.examined(*item);
  CHECK(queue.take_overdue(milliseconds(0))->name == "v");
}

TEST_CASE("queue: what the patrol has read ahead is no event to be examined") {
  using std::chrono::milliseconds;
  Queue queue;
  CHECK(queue.claim({"read"}) == Names{"read"});
  queue.offer("read", view());
  queue.add("added");
  CHECK(queue.take_overdue(milliseconds(0))->name == "added");
}
