#include "agent/store/file_format.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/api/error.h"

namespace plexvol::store {

namespace {

std::string base() {
  return to_base({.revision = 4,
                  .items = {{"a", {.value = "one", .revision = 2, .session = false}},
                            {"b", {.value = "two", .revision = 4, .session = true}}}});
}

std::string first_record() {
  return to_record(5, {{"a", Item{"three\nlines\n", 5, false}}, {"b", std::nullopt}});
}

// Longer than two sectors.
std::string second_record() {
  return to_record(6, {{"c", Item{std::string(1500, 'c'), 6, false}}});
}

std::string whole() {
  return base() + first_record() + second_record();
}

std::string refusal(const std::string& bytes) {
  try {
    parse_file(bytes);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Internal);
    return error.what();
  }
  return "(accepted)";
}

}  // namespace

TEST_CASE("store file: what was written is parsed back") {
  const ParsedFile parsed = parse_file(whole());
  CHECK(parsed.good_bytes == whole().size());
  CHECK(parsed.contents.revision == 6);
  REQUIRE(parsed.contents.items.size() == 2);
  CHECK(parsed.contents.items.at("a").value == "three\nlines\n");
  CHECK(parsed.contents.items.at("a").revision == 5);
  CHECK(parsed.contents.items.at("c").value.size() == 1500);
  CHECK(parse_file(base()).contents.items.at("b").session);
  CHECK_FALSE(parse_file(base()).contents.items.at("a").session);
  CHECK(parse_file(base()).contents.items.at("a").revision == 2);
  CHECK(parse_file(to_base({})).contents.items.empty());
}

TEST_CASE("store file: it is text that a person can read") {
  CHECK(
      to_base({.revision = 1, .items = {{"k", {.value = "v", .revision = 1, .session = false}}}}) ==
      "plexvol-store 1\nrecord 1 14 43533f80 6ea31288\nput 1 1 1\nk\nv\n");
}

TEST_CASE("store file: a last record cut short anywhere is left out, all before it stays") {
  const std::string before = base() + first_record();
  for (std::size_t kept = before.size(); kept < whole().size(); ++kept) {
    CAPTURE(kept);
    const ParsedFile parsed = parse_file(whole().substr(0, kept));
    REQUIRE(parsed.good_bytes == before.size());
    REQUIRE(parsed.contents.revision == 5);
    REQUIRE_FALSE(parsed.contents.items.contains("c"));
  }
}

TEST_CASE("store file: a last record with a sector that was never written is left out") {
  const std::string before = base() + first_record();
  // From each place after its header on, as the file system may have enlarged the file before it
  // wrote the data.
  const std::size_t header = second_record().find('\n') + 1;
  for (std::size_t from = before.size() + header; from <= before.size() + 512; ++from) {
    CAPTURE(from);
    std::string bytes = whole();
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.end(), '\0');
    REQUIRE(parse_file(bytes).good_bytes == before.size());
  }
  std::string bytes = whole();
  std::fill(bytes.begin() + 512, bytes.begin() + 1024, '\0');
  CHECK(parse_file(bytes).good_bytes == before.size());
}

TEST_CASE("store file: zeros at the end that may have been several records are refused [S6]") {
  std::string bytes = base();
  std::vector<std::size_t> ends{bytes.size()};
  for (int revision = 5; revision < 17; ++revision) {
    bytes += to_record(revision, {{"k", Item{std::string(20, 'x'), revision, false}}});
    ends.push_back(bytes.size());
  }
  for (std::size_t from = ends.front(); from < bytes.size(); ++from) {
    CAPTURE(from);
    std::string zeroed = bytes;
    std::fill(zeroed.begin() + static_cast<std::ptrdiff_t>(from), zeroed.end(), '\0');
    const bool several = from < ends[ends.size() - 2];
    if (several) REQUIRE(refusal(zeroed) != "(accepted)");
    // What is accepted has lost the last record at most.
    if (refusal(zeroed) == "(accepted)") REQUIRE(parse_file(zeroed).contents.revision >= 15);
  }
  // One whole record is no longer the last when another was begun.
  std::fill(bytes.end() - 600, bytes.end(), '\0');
  CHECK(refusal(bytes).find("byte ") != std::string::npos);
}

TEST_CASE("store file: a changed byte is never accepted, wherever it is") {
  for (std::size_t at = 0; at < whole().size(); ++at) {
    CAPTURE(at);
    std::string bytes = whole();
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    REQUIRE(refusal(bytes) != "(accepted)");
  }
}

TEST_CASE("store file: damage before the end says where it is") {
  std::string bytes = whole();
  bytes[base().size() + 10] = 'X';
  CHECK(refusal(bytes).find("byte " + std::to_string(base().size()) + ":") != std::string::npos);
  CHECK(refusal(bytes).find("complete records follow") != std::string::npos);
}

TEST_CASE("store file: a missing or cut base is refused, since no crash of ours leaves one") {
  for (std::size_t kept = 0; kept < base().size(); ++kept) {
    CAPTURE(kept);
    REQUIRE(refusal(base().substr(0, kept)) != "(accepted)");
  }
}

TEST_CASE("store file: records out of order are refused") {
  CHECK(refusal(base() + first_record() + first_record()) != "(accepted)");
  CHECK(refusal(base() + second_record() + first_record()) != "(accepted)");
}

TEST_CASE("store file: one of a newer version is refused by name") {
  CHECK(refusal("plexvol-store 2\n").find("newer version") != std::string::npos);
}

}  // namespace plexvol::store
