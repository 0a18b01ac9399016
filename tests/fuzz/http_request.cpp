// The agent's door. The same bytes must mean the same, however they arrive.
#include <optional>

#include "agent/http/message.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

namespace {

struct Outcome {
  unsigned refused = 0;  // the status, 0: not refused
  std::optional<http::Message> message;
};

// In pieces of this size.
Outcome read(const std::string& bytes, std::size_t piece) {
  http::MessageParser parser({});
  std::string buffer;
  try {
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      buffer += bytes.substr(at, piece);
      if (parser.feed(buffer)) return {.message = parser.take()};
    }
  } catch (const http::BadMessage& bad) {
    return {.refused = bad.status(), .message = {}};
  }
  return {};
}

}  // namespace

void run(const std::string& bytes) {
  constexpr std::size_t kLongest = 16UL * 1024;
  if (bytes.empty() || bytes.size() > kLongest) return;
  const Outcome whole = read(bytes, bytes.size());
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}}) {
    const Outcome split = read(bytes, piece);
    expect(whole.message.has_value() == split.message.has_value());
    if (whole.message) {
      expect(whole.message->path == split.message->path);
      expect(whole.message->body == split.message->body);
    }
  }
}

}  // namespace plexvol::fuzz
