// Whether the store is the one that was seen before.
#include "agent/store/store_seen.h"

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "tests/support/temporary_directory.h"

using plexvol::store::StoreSeen;
using plexvol::support::TemporaryDirectory;

namespace {

struct SeenCase {
  TemporaryDirectory directory;
  std::string path = directory.path() / "store-seen";

  std::string text() const {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
};

constexpr std::uint64_t kCluster = 0xcdf818194e3a8c32;

void answer(StoreSeen& seen, std::uint64_t cluster, std::int64_t revision) {
  seen.note(seen.last(), {.cluster = cluster, .revision = revision});
}

}  // namespace

TEST_CASE("store seen: an older revision, or another cluster, is a store rolled back [D19]") {
  const SeenCase c;
  {
    StoreSeen seen(c.path);
    answer(seen, kCluster, 100);
    answer(seen, kCluster, 120);
    CHECK(seen.contradiction().empty());
    SUBCASE("while the agent runs") {
      answer(seen, kCluster, 119);
      CHECK_FALSE(seen.contradiction().empty());
    }
  }
  CHECK(c.text() == "cdf818194e3a8c32 120 .\n");
  SUBCASE("the same, after a restart") {
    StoreSeen seen(c.path);
    answer(seen, kCluster, 120);
    CHECK(seen.contradiction().empty());
  }
  SUBCASE("an older one, after a restart") {
    StoreSeen seen(c.path);
    answer(seen, kCluster, 119);
    CHECK(seen.contradiction() ==
          "etcd answers as cluster cdf818194e3a8c32, revision 119, but was cluster "
          "cdf818194e3a8c32, revision 120");
  }
  SUBCASE("another one, however new") {
    StoreSeen seen(c.path);
    answer(seen, 1, 1000);
    CHECK_FALSE(seen.contradiction().empty());
  }
}

TEST_CASE("store seen: answers that come out of order are no store rolled back [D19]") {
  const SeenCase c;
  StoreSeen seen(c.path);
  answer(seen, kCluster, 100);
  const auto before = seen.last();
  seen.note(before, {.cluster = kCluster, .revision = 130});
  seen.note(before, {.cluster = kCluster, .revision = 101});
  CHECK(seen.contradiction().empty());
  CHECK(seen.last().revision == 130);
}

TEST_CASE("store seen: what one member says by itself proves only progress [D19]") {
  const SeenCase c;
  StoreSeen seen(c.path);
  seen.note_progress(seen.last(), {.cluster = kCluster, .revision = 100});
  CHECK(seen.last().cluster == 0);
  answer(seen, kCluster, 100);
  seen.note_progress(seen.last(), {.cluster = kCluster, .revision = 90});
  seen.note_progress(seen.last(), {.cluster = 1, .revision = 900});
  CHECK(seen.last().revision == 100);
  CHECK(seen.contradiction().empty());
  seen.note_progress(seen.last(), {.cluster = kCluster, .revision = 110});
  CHECK(seen.last().revision == 110);
  answer(seen, kCluster, 109);
  CHECK_FALSE(seen.contradiction().empty());
}

TEST_CASE("store seen: until everybody was told, the file has what was seen before [D19]") {
  const SeenCase c;
  StoreSeen seen(c.path);
  answer(seen, kCluster, 100);
  const auto before = seen.last();
  answer(seen, 1, 7);
  answer(seen, 1, 8);
  seen.save();
  CHECK(c.text() == "cdf818194e3a8c32 100 .\n");
  seen.accept();
  CHECK(c.text() == "1 8 .\n");
  CHECK(seen.contradiction().empty());
  // To what was asked for before.
  seen.note(before, {.cluster = 1, .revision = 9});
  seen.note(before, {.cluster = kCluster, .revision = 101});
  CHECK(seen.contradiction().empty());
  answer(seen, 1, 9);
  CHECK(seen.contradiction().empty());
  CHECK(seen.last().revision == 9);
}

TEST_CASE("store seen: a file that cannot be read says nothing [D19]") {
  const SeenCase c;
  for (const char* text : {"", "cdf8", "cdf8 12", "? 12 .", "cdf8 12 x"}) {
    CAPTURE(text);
    std::ofstream(c.path) << text;
    StoreSeen seen(c.path);
    CHECK(seen.last().cluster == 0);
    answer(seen, 1, 1);
    CHECK(seen.contradiction().empty());
  }
  StoreSeen nowhere(c.directory.path() / "no" / "such" / "folder");
  answer(nowhere, 1, 1);
  nowhere.save();
}
