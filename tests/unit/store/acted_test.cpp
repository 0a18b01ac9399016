// What a node acted on, on its own disk.
#include "agent/store/acted.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "agent/api/error.h"
#include "agent/store/sets.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kId = "6f1c1c1e-0000-4000-8000-000000000001";

struct ActedCase {
  support::TemporaryDirectory directory;
  std::string folder = directory.path() / "acted";
  std::string file = folder + "/" + kId;
  model::Volume volume;
  model::Current set = store::next_set({});

  ActedCase() {
    volume.name = "v";
    volume.id = kId;
    volume.secret = "hush";
    set.nodes = {"n1", "n2"};
  }
  void record() { store::ActedSets(folder).record(volume, set); }
  std::uint64_t epoch() {
    const auto found = store::ActedSets(folder).find(kId);
    return found ? found->epoch : 0;
  }
  void overwrite(std::streamoff offset, const std::string& text) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    REQUIRE(stream.seekp(offset));
    stream << text;
  }
};

constexpr std::streamoff kSlot = 8192;

}  // namespace

TEST_CASE("acted: what was recorded is there after a restart [D19]") {
  ActedCase c;
  CHECK(c.epoch() == 0);
  c.record();
  const auto found = store::ActedSets(c.folder).find(kId);
  REQUIRE(found);
  CHECK(found->volume == "v");
  CHECK(found->epoch == 1);
  CHECK(found->id == c.set.history.changes.back().id);
  CHECK(found->nodes == c.set.nodes);
  CHECK_FALSE(found->formatted);
  CHECK(found->record.find("hush") != std::string::npos);
  struct stat status {};
  REQUIRE(stat(c.file.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  for (int i = 0; i < 5; ++i) {
    c.set = store::next_set(c.set);
    c.record();
    CHECK(c.epoch() == c.set.epoch);
  }
  CHECK(store::ActedSets(c.folder).list().size() == 1);
  store::ActedSets(c.folder).remove(kId);
  CHECK(c.epoch() == 0);
  CHECK(store::ActedSets(c.folder).list().empty());
}

TEST_CASE("acted: nothing is written that is known, and nothing older [D19]") {
  ActedCase c;
  store::ActedSets acted(c.folder);
  acted.record(c.volume, c.set);
  CHECK(acted.knows_all(c.volume, c.set));
  const model::Current older = c.set;
  c.set = store::next_set(c.set);
  CHECK_FALSE(acted.knows_set(c.volume, c.set));
  acted.record(c.volume, c.set);
  const auto written = std::filesystem::last_write_time(c.file);
  acted.record(c.volume, c.set);
  acted.record(c.volume, older);
  CHECK(std::filesystem::last_write_time(c.file) == written);
  CHECK(acted.find(kId)->epoch == 2);
  c.volume.former = {"n3"};
  CHECK(acted.knows_set(c.volume, c.set));
  CHECK_FALSE(acted.knows_all(c.volume, c.set));
  c.volume.format = model::Format::Done;
  CHECK_FALSE(acted.knows_set(c.volume, c.set));
  acted.record(c.volume, c.set);
  CHECK(acted.find(kId)->formatted);
  // By who has read the volume before.
  c.volume.format = model::Format::Started;
  c.set = store::next_set(c.set);
  acted.record(c.volume, c.set);
  CHECK(acted.find(kId)->formatted);
  CHECK(acted.find(kId)->epoch == 3);
  // Another change of the same epoch.
  c.set.history.changes.back().id = "another";
  CHECK_THROWS_AS(acted.record(c.volume, c.set), Error);
  CHECK(acted.find(kId)->id != "another");
}

TEST_CASE("acted: a write that was torn leaves the one before [D19]") {
  ActedCase c;
  c.record();
  c.set = store::next_set(c.set);
  c.record();
  SUBCASE("the newer one") {
    c.overwrite(20, "?????");
    CHECK(c.epoch() == 1);
    c.record();
    CHECK(c.epoch() == 2);
  }
  SUBCASE("the older one") {
    c.overwrite(kSlot + 20, "?????");
    CHECK(c.epoch() == 2);
  }
  SUBCASE("both: damage is not taken for a node that knows nothing") {
    c.overwrite(20, "?????");
    c.overwrite(kSlot + 20, "?????");
    CHECK_THROWS_AS(c.epoch(), Error);
    CHECK_THROWS_AS(c.record(), Error);
  }
  SUBCASE("of another volume") {
    std::filesystem::rename(c.file, c.folder + "/another");
    CHECK_THROWS_AS(store::ActedSets(c.folder).find("another"), Error);
  }
}

TEST_CASE("acted: a volume's id names a file in the directory, and no other [D19]") {
  ActedCase c;
  store::ActedSets acted(c.folder);
  for (const char* id : {"", ".", "..", "../x", "a/b", ".new"}) {
    CHECK_THROWS_AS(acted.find(id), Error);
  }
}

TEST_CASE("acted: what contradicts a store, and what does not [D19]") {
  ActedCase c;
  c.set.epoch = 9;
  c.set.history.changes = {
      {.epoch = 5, .id = "five"}, {.epoch = 6, .id = "six"}, {.epoch = 9, .id = "nine"}};
  model::Acted acted{.volume = "v",
                     .volume_id = kId,
                     .epoch = 6,
                     .id = "six",
                     .nodes = {"n1"},
                     .formatted = false,
                     .record = ""};
  const auto why = [&] { return model::find_contradiction(acted, c.volume, c.set); };
  CHECK(why() == "");
  SUBCASE("another change of the same epoch") {
    acted.id = "another six";
    CHECK(why() ==
          "this node acted on set 6 {n1}, but the store has set 9 {n1,n2}, which came from "
          "another set 6");
  }
  SUBCASE("an epoch that the store does not have yet") {
    acted.epoch = 10;
    CHECK(why() == "this node acted on set 10 {n1}, but the store has set 9 {n1,n2}");
  }
  SUBCASE("older than the history: a node that slept") {
    acted = {.volume = "v",
             .volume_id = kId,
             .epoch = 4,
             .id = "four",
             .nodes = {},
             .formatted = false,
             .record = ""};
    CHECK(why() == "");
  }
  SUBCASE("a change that an agent of 0.1.0 made, and another one made the next") {
    acted.epoch = 7;
    acted.id = "derived";
    CHECK(why() == "");
  }
  SUBCASE("another volume of that name") {
    acted.volume_id = "another";
    acted.epoch = 70;
    CHECK(why() == "");
  }
  SUBCASE("a file system that was made") {
    acted.formatted = true;
    CHECK(why() == "its file system was created, but the store says that it was not");
    c.volume.format = model::Format::Done;
    CHECK(why() == "");
  }
  SUBCASE("no set at all") {
    CHECK(model::find_contradiction(acted, c.volume, std::nullopt) != "");
  }
}
