#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/kube/objects.h"

namespace plexvol::kube {

namespace {

constexpr std::size_t kLongest = 100;

struct Suffix {
  std::string_view text;
  int power_of_10;
  int power_of_1024;
};
constexpr std::array kSuffixes{
    Suffix{"", 0, 0},   Suffix{"n", -9, 0}, Suffix{"u", -6, 0}, Suffix{"m", -3, 0},
    Suffix{"k", 3, 0},  Suffix{"M", 6, 0},  Suffix{"G", 9, 0},  Suffix{"T", 12, 0},
    Suffix{"P", 15, 0}, Suffix{"E", 18, 0}, Suffix{"Ki", 0, 1}, Suffix{"Mi", 0, 2},
    Suffix{"Gi", 0, 3}, Suffix{"Ti", 0, 4}, Suffix{"Pi", 0, 5}, Suffix{"Ei", 0, 6},
};

// The digits times 10 to the power of -`decimals`.
struct Decimal {
  std::string digits;
  int decimals = 0;
};

bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}

std::optional<Suffix> parse_suffix(std::string_view text) {
  const auto* found = std::find_if(kSuffixes.begin(), kSuffixes.end(),
                                   [&](const Suffix& suffix) { return suffix.text == text; });
  if (found != kSuffixes.end()) return *found;
  if (text.size() < 2 || (text[0] != 'e' && text[0] != 'E')) return std::nullopt;
  text.remove_prefix(1);
  if (text[0] == '+') {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  int exponent = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exponent);
  constexpr int kLargest = 1000;
  if (error != std::errc() || end != text.data() + text.size() || exponent > kLargest ||
      exponent < -kLargest) {
    return std::nullopt;
  }
  return Suffix{"", exponent, 0};
}

// Takes it from the front of the text.
std::optional<Decimal> take_decimal(std::string_view& text) {
  Decimal decimal;
  bool is_behind_point = false;
  while (!text.empty() && (is_digit(text[0]) || (text[0] == '.' && !is_behind_point))) {
    if (text[0] == '.') {
      is_behind_point = true;
    } else {
      decimal.digits += text[0];
      decimal.decimals += is_behind_point ? 1 : 0;
    }
    text.remove_prefix(1);
  }
  if (decimal.digits.empty()) return std::nullopt;
  return decimal;
}

void multiply(std::string& digits, unsigned factor) {
  unsigned carry = 0;
  for (std::size_t at = digits.size(); at-- > 0;) {
    const unsigned product = static_cast<unsigned>(digits[at] - '0') * factor + carry;
    digits[at] = static_cast<char>('0' + product % 10);
    carry = product / 10;
  }
  if (carry != 0) digits.insert(0, std::to_string(carry));
}

// nullopt: more than 2^63 - 1.
std::optional<std::uint64_t> round_up(Decimal decimal) {
  if (decimal.decimals < 0) {
    decimal.digits.append(static_cast<std::size_t>(-decimal.decimals), '0');
    decimal.decimals = 0;
  }
  const std::size_t decimals =
      std::min(static_cast<std::size_t>(decimal.decimals), decimal.digits.size());
  const std::string whole = decimal.digits.substr(0, decimal.digits.size() - decimals);
  const bool has_rest = decimal.digits.find_first_not_of('0', whole.size()) != std::string::npos;
  const std::size_t first = std::min(whole.find_first_not_of('0'), whole.size());
  std::int64_t value = 0;
  if (first < whole.size()) {
    const char* end = whole.data() + whole.size();
    if (std::from_chars(whole.data() + first, end, value).ec != std::errc()) return std::nullopt;
  }
  if (has_rest && value == INT64_MAX) return std::nullopt;
  return static_cast<std::uint64_t>(value) + (has_rest ? 1 : 0);
}

[[noreturn]] void refuse(const std::string& text, const char* why) {
  throw Error(ErrorCode::InvalidArgument, fmt::format("quantity {}: {}", in_quotes(text), why));
}

}  // namespace

std::uint64_t parse_quantity(const std::string& text) {
  constexpr const char* kExpected = "expected a number with a unit, like 10Gi or 500M";
  if (text.size() > kLongest) refuse(text, kExpected);
  std::string_view rest = text;
  if (rest.starts_with('-')) refuse(text, "negative");
  if (rest.starts_with('+')) rest.remove_prefix(1);
  std::optional<Decimal> decimal = take_decimal(rest);
  const std::optional<Suffix> suffix = parse_suffix(rest);
  if (!decimal || !suffix) refuse(text, kExpected);
  for (int i = 0; i < suffix->power_of_1024; ++i) multiply(decimal->digits, 1024);
  decimal->decimals -= suffix->power_of_10;
  const std::optional<std::uint64_t> value = round_up(*decimal);
  if (!value) refuse(text, "too large");
  return *value;
}

}  // namespace plexvol::kube
