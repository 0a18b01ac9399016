#include "agent/api/names.h"

#include <doctest/doctest.h>

#include <cctype>
#include <regex>
#include <string>
#include <vector>

#include "agent/api/error.h"

using plexvol::check_namespace;
using plexvol::check_new_volume_name;
using plexvol::check_node_name;
using plexvol::check_pool_name;
using plexvol::check_volume_name;
using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::parse_size_bytes;
using plexvol::size_to_text;

namespace {

constexpr std::uint64_t kMiB = 1ULL << 20U;
constexpr std::uint64_t kGiB = 1ULL << 30U;

// The message, or "" when nothing was thrown.
template <class Check>
std::string refusal(Check check, const std::string& text) {
  try {
    check(text);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::InvalidArgument);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("names: a volume's name may be what Kubernetes and LVM both take") {
  for (const char* name : {"a", "pv-1", "pvc-7e5bc6ef-e785-11f1-981e-069205a4643d", "Data.2_x",
                           "0a", "a.meta.b", "meta", "minor-x", "allx", "my-snapshot"}) {
    CHECK_NOTHROW(check_volume_name(name));
  }
  CHECK_NOTHROW(check_volume_name(std::string(63, 'x')));
  CHECK_THROWS_AS(check_volume_name("1001"), Error);  // DRBD's tools take it for a minor
}

TEST_CASE("names: a volume's label has a key that Kubernetes takes, and names the volume") {
  // The name part of a qualified name: ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9], at most 63.
  const std::regex name_part("([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]");
  const std::vector<std::string> names{"a", "pvc-7e5bc6ef-e785-11f1-981e-069205a4643d", "Data.2_x",
                                       "0a", std::string(31, 'x') + '_' + std::string(31, 'x')};
  for (const std::string& name : names) {
    CAPTURE(name);
    const std::string label = plexvol::volume_label(name);
    CHECK(label == "volume.plexvol.io/" + name);
    std::string volume;
    CHECK(plexvol::is_volume_label(label, volume));
    CHECK(volume == name);
    CHECK(name.size() <= 63);
    CHECK(std::regex_match(name, name_part));
  }
}

TEST_CASE("names: a label that names no volume is none") {
  std::string volume = "before";
  for (const std::string& name : {std::string(64, 'x'), std::string("-a"), std::string("a-"),
                                  std::string("a b"), std::string("a/b"), std::string()}) {
    CHECK_FALSE(plexvol::is_volume_label(plexvol::volume_label(name), volume));
  }
  for (const char* key : {"", "volume.plexvol.io", "plexvol.io/a", "xvolume.plexvol.io/a"}) {
    CHECK_FALSE(plexvol::is_volume_label(key, volume));
  }
}

TEST_CASE("names: a volume's name holds only what a label's key may hold, in each place") {
  const auto is_accepted = [](const std::string& name) {
    return refusal(check_volume_name, name).empty();
  };
  int accepted = 0;
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const auto c = static_cast<char>(byte);
    const bool at_end = is_accepted({'a', c}) || is_accepted({c, 'a'});
    const bool inside = is_accepted({'a', c, 'b'});
    const bool alphanumeric = byte < 128 && std::isalnum(byte) != 0;
    CHECK((alphanumeric || !at_end));
    CHECK((alphanumeric || !inside || c == '-' || c == '_' || c == '.'));
    if (inside) ++accepted;
  }
  CHECK(accepted == 26 + 26 + 10 + 3);
}

TEST_CASE("names: a volume's name that would mean something else to a tool is refused") {
  for (const char* name :
       {"",          "-a",     "a-",         ".a",        "a.",         "_a",
        "a_",        ".",      "..",         "a..b",      "a/b",        "a b",
        "a\n",       "a.meta", "ä",          "$(reboot)", "a\\b",       "snapshot",
        "snapshot1", "pvmove", "pvmove0",    "x_mlog",    "x_rimage_0", "x_tdata",
        "x_cvol",    "all",    "minor-1000", "0",         "1000"}) {
    CAPTURE(name);
    CHECK(refusal(check_volume_name, name) != "");
  }
  CHECK(refusal(check_volume_name, std::string(64, 'x')) != "");
  CHECK(refusal(check_volume_name, std::string("a\0b", 3)) != "");
}

TEST_CASE("names: no new volume is called as a section of DRBD's configuration [O5]") {
  for (const char* name : {"global", "common"}) {
    CAPTURE(name);
    CHECK(refusal(check_new_volume_name, name).find("section of DRBD's configuration") !=
          std::string::npos);
    // One that an older version made is shown, mounted and deleted.
    CHECK_NOTHROW(check_volume_name(name));
  }
  CHECK_NOTHROW(check_new_volume_name("global-1"));
  CHECK(refusal(check_new_volume_name, "pvmove0") != "");
}

TEST_CASE("names: a namespace is an RFC 1123 label") {
  for (const char* name : {"a", "kube-system", "0"}) CHECK_NOTHROW(check_namespace(name));
  for (const char* name : {"", "*", "A", "-a", "a-", "a.b", "a/b", "a b"}) {
    CAPTURE(name);
    CHECK(refusal(check_namespace, name) != "");
  }
  CHECK(refusal(check_namespace, std::string(64, 'x')) != "");
}

TEST_CASE(
    "names: a refusal shows the name, what is wrong with it and what is allowed, on one line") {
  const std::string message = refusal(check_volume_name, "a\nb");
  CHECK(message.find("\"a?b\"") != std::string::npos);
  CHECK(message.find("allowed are") != std::string::npos);
  CHECK(message.find('\n') == std::string::npos);
  CHECK(refusal(check_volume_name, std::string(100'000, 'x')).size() < 400);
}

TEST_CASE("names: a node's name is an RFC 1123 subdomain") {
  for (const char* name : {"n1", "node-1.example.com", "1", "a--b"})
    CHECK_NOTHROW(check_node_name(name));
  CHECK_NOTHROW(check_node_name(std::string(253, 'x')));
  for (const char* name :
       {"", "N1", "-a", "a-", ".a", "a.", "a..b", "a.-b", "a-.b", "a_b", "a/b", "../x"}) {
    CAPTURE(name);
    CHECK(refusal(check_node_name, name) != "");
  }
  CHECK(refusal(check_node_name, std::string(254, 'x')) != "");
}

TEST_CASE("names: a pool's name is a volume group's") {
  for (const char* name : {"vg0", "Fast_1.2-x", "default"}) CHECK_NOTHROW(check_pool_name(name));
  for (const char* name : {"", "-x", ".", "..", "a/b", "a b"}) {
    CAPTURE(name);
    CHECK(refusal(check_pool_name, name) != "");
  }
  CHECK(refusal(check_pool_name, std::string(64, 'x')) != "");
}

TEST_CASE("sizes: units of Kubernetes and of LVM, rounded up to extents of 4 MiB") {
  CHECK(parse_size_bytes("1Gi") == kGiB);
  CHECK(parse_size_bytes("1.5Gi") == 3 * kGiB / 2);
  CHECK(parse_size_bytes("1024Mi") == kGiB);
  CHECK(parse_size_bytes("1073741824") == kGiB);
  CHECK(parse_size_bytes("1048576Ki") == kGiB);
  CHECK(parse_size_bytes("1g") == kGiB);
  CHECK(parse_size_bytes("1000m") == 1000 * kMiB);
  CHECK(parse_size_bytes("1Ti") == 1024 * kGiB);
  CHECK(parse_size_bytes("0.25t") == 256 * kGiB);
  CHECK(parse_size_bytes("1Pi") == std::uint64_t{1024} * 1024 * kGiB);
  CHECK(parse_size_bytes("500M") == 480 * kMiB);
  CHECK(parse_size_bytes("1G") == 956 * kMiB);
  CHECK(parse_size_bytes("1T") == 953'676 * kMiB);
  CHECK(parse_size_bytes("17Mi") == 20 * kMiB);
  CHECK(parse_size_bytes("1073741825") == kGiB + 4 * kMiB);
}

TEST_CASE("sizes: a decimal fraction that is a whole number of extents is not rounded up") {
  CHECK(parse_size_bytes("0.016777216G") == 16 * kMiB);
  CHECK(parse_size_bytes("1.073741824G") == kGiB);
  CHECK(parse_size_bytes("1.00390625Gi") == kGiB + 4 * kMiB);
}

TEST_CASE("sizes: the smallest and the largest") {
  CHECK(parse_size_bytes("16Mi") == 16 * kMiB);
  CHECK(parse_size_bytes("16777216") == 16 * kMiB);
  CHECK(refusal(parse_size_bytes, "16777215").find("less than 16Mi") != std::string::npos);
  for (const char* text : {"0", "0Gi", "15Mi", "1"}) CHECK(refusal(parse_size_bytes, text) != "");
  for (const char* text :
       {"1.000000001Pi", "2Pi", "1025Ti", "1125899906842625", "18446744073709551616",
        "99999999999999999999999999Pi", "18014398509481984Ki"}) {
    CAPTURE(text);
    CHECK(refusal(parse_size_bytes, text).find("more than 1Pi") != std::string::npos);
  }
}

TEST_CASE("sizes: what is no size is refused") {
  for (const char* text :
       {"",       "Gi",    "-1Gi",    "+1Gi", " 1Gi",   "1 Gi",           "1Gi ",
        "1GiB",   "1gi",   "1E",      "1e9",  "0x10Gi", "1.Gi",           ".5Gi",
        "1..5Gi", "1,5Gi", "1.5.5Gi", "1p",   "infGi",  "1.0000000001Gi", "1Gi\n"}) {
    CAPTURE(text);
    CHECK(refusal(parse_size_bytes, text) != "");
  }
}

TEST_CASE("sizes: for people") {
  CHECK(size_to_text(0) == "0");
  CHECK(size_to_text(1023) == "1023");
  CHECK(size_to_text(1024) == "1Ki");
  CHECK(size_to_text(20 * kMiB) == "20Mi");
  CHECK(size_to_text(kGiB) == "1Gi");
  CHECK(size_to_text(3 * kGiB / 2) == "1.5Gi");
  CHECK(size_to_text(kGiB - 1) == "1023.9Mi");
  CHECK(size_to_text(1ULL << 50U) == "1Pi");
  CHECK(size_to_text(UINT64_MAX) == "15.9Ei");
}
