#include "agent/kube/failure.h"

#include <fmt/core.h>

#include "agent/api/text.h"

namespace plexvol::kube {

namespace {

constexpr std::size_t kLongestMessage = 1000;
constexpr std::size_t kLongestPath = 300;

ErrorCode code_for(long status, const std::string& reason) {
  if (status >= 500) return ErrorCode::Unavailable;
  switch (status) {
    case 400:
    case 422:
      return ErrorCode::InvalidArgument;
    case 404:
      return ErrorCode::NotFound;
    case 405:
    case 415:
      return ErrorCode::Unsupported;
    case 408:
    case 429:
      return ErrorCode::Unavailable;
    case 409:
      return reason == "AlreadyExists" ? ErrorCode::AlreadyExists : ErrorCode::Conflict;
    default:
      return ErrorCode::Internal;
  }
}

Error make(const std::string& what, long status, const std::string& reason,
           const std::string& message) {
  std::string text = fmt::format("{}: {}", what, status);
  if (!message.empty()) text += ' ' + message;
  return {code_for(status, reason), one_line(text, kLongestMessage)};
}

}  // namespace

Error to_error(const std::string& what, const HttpReply& reply) {
  const JsonValue status = JsonValue::parse(reply.body, nullptr, false);
  // What is no Status object comes from something in between, or from an aggregated server.
  const bool is_status = status.is_object();
  std::string message =
      is_status ? text_or_empty(status, "message") : one_line(reply.body, kLongestPath);
  if (reply.retry_after.count() > 0) {
    message += fmt::format(" (retry after {} s)", reply.retry_after.count());
  }
  return make(what, reply.status, is_status ? text_or_empty(status, "reason") : "", message);
}

Error to_error(const std::string& what, const JsonValue& status) {
  const long code = code_of(status);
  return make(what, code == 0 ? 500 : code, text_or_empty(status, "reason"),
              text_or_empty(status, "message"));
}

long code_of(const JsonValue& status) {
  const auto code = status.is_object() ? status.find("code") : status.end();
  if (!status.is_object() || code == status.end() || !code->is_number_integer()) return 0;
  const auto number = code->get<long>();
  return number >= 100 && number <= 599 ? number : 0;
}

std::string describe(const HttpRequest& request) {
  const std::string path = request.path.substr(0, request.path.find('?'));
  return fmt::format("{} {}", request.method, one_line(path, kLongestPath));
}

}  // namespace plexvol::kube
