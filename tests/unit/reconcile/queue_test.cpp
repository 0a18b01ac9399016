#include "agent/reconcile/queue.h"

#include <doctest/doctest.h>

using plexvol::reconcile::Queue;

TEST_CASE("queue: what is added again keeps its place, so that it comes at all") {
  Queue queue;
  queue.add("first");
  queue.add("second");
  queue.add("first");
  CHECK(queue.take() == "first");
  CHECK(queue.take() == "second");
}

TEST_CASE("queue: what waits for a later try comes at once when it is added") {
  Queue queue;
  queue.add("v");
  CHECK(queue.take() == "v");
  queue.retry("v", std::chrono::hours(1), std::chrono::hours(1));
  queue.add("v");
  CHECK(queue.take() == "v");
}
