#include "agent/client/http_reply.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "agent/api/error.h"
#include "agent/api/text.h"

namespace plexvol::client {

namespace {

constexpr std::size_t kLargestHead = 32UL * 1024;
constexpr std::size_t kLargestBody = 64UL * 1024 * 1024;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorCode::Internal, "the agent's answer is not understood: " + why);
}

char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), to_lower);
  return result;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

template <class T>
std::optional<T> to_number(std::string_view text) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

unsigned parse_status_line(std::string_view line) {
  constexpr std::size_t kCodeAt = 9;
  const bool is_http = line.starts_with("HTTP/1.0 ") || line.starts_with("HTTP/1.1 ");
  const auto status =
      is_http ? to_number<unsigned>(line.substr(kCodeAt, line.find(' ', kCodeAt) - kCodeAt))
              : std::nullopt;
  if (!status || *status < 200 || *status > 599) {
    refuse("it begins with " + in_quotes(line) + " instead of an HTTP status");
  }
  return *status;
}

struct Head {
  HttpReply reply;
  std::optional<std::size_t> length;
};

void take_header(std::string_view line, Head& head) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) refuse("header " + in_quotes(line) + " has no colon");
  const std::string name = lower(line.substr(0, colon));
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (name == "content-length") {
    const auto length = to_number<std::size_t>(value);
    if (!length || (head.length && *head.length != *length)) {
      refuse("Content-Length " + in_quotes(value));
    }
    if (*length > kLargestBody) refuse("a body of " + std::to_string(*length) + " bytes");
    head.length = length;
  } else if (name == "transfer-encoding") {
    refuse("Transfer-Encoding " + in_quotes(value));
  } else if (name == "connection") {
    head.reply.keep_alive = lower(value) != "close";
  }
}

Head parse_head(std::string_view text) {
  Head head;
  bool first = true;
  while (!text.empty()) {
    const std::size_t end = text.find("\r\n");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
    if (first) {
      head.reply.status = parse_status_line(line);
      first = false;
    } else {
      take_header(line, head);
    }
  }
  if (!head.length) refuse("it has no Content-Length");
  return head;
}

}  // namespace

std::optional<HttpReply> parse_http_reply(const std::string& received) {
  constexpr std::string_view kStart = "HTTP/1.";
  const std::string_view text = received;
  if (!kStart.starts_with(text.substr(0, kStart.size()))) {
    refuse("it begins with " + in_quotes(text) + " instead of an HTTP status");
  }
  const std::size_t end = text.find("\r\n\r\n");
  if (std::min(end, text.size()) > kLargestHead) refuse("its headers have no end");
  if (end == std::string_view::npos) return std::nullopt;
  Head head = parse_head(text.substr(0, end));
  const std::string_view body = text.substr(end + 4);
  if (body.size() < *head.length) return std::nullopt;
  if (body.size() > *head.length) refuse("there is more than its Content-Length says");
  head.reply.body = body;
  return std::move(head.reply);
}

}  // namespace plexvol::client
