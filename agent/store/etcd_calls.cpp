#include "agent/store/etcd_calls.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "agent/api/call_deadline.h"
#include "agent/api/error.h"
#include "agent/store/etcd.grpc.pb.h"

namespace plexvol::store {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using Clock = EtcdCaller::Clock;

constexpr milliseconds kPause{100};
constexpr milliseconds kTurn{500};

// A step of the system's clock must not stretch a deadline.
void set_deadline(grpc::ClientContext& context, Clock::time_point deadline) {
  const auto rest = std::max(duration_cast<milliseconds>(deadline - Clock::now()), milliseconds(1));
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(rest.count(), GPR_TIMESPAN)));
}

void add_metadata(grpc::ClientContext& context, const std::string& token) {
  // A member that lost the others then says so at once, and ends a watch that would stay silent for
  // ever.
  context.AddMetadata("hasleader", "true");
  if (!token.empty()) context.AddMetadata("token", token);
}

// "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:2379: Failed to connect
// to remote host: Connection refused" is "Connection refused": the address is told beside it.
std::string without_wrapping(std::string text) {
  const auto drop_up_to = [&](std::string_view words) {
    const std::size_t found = text.rfind(words);
    if (found != std::string::npos) text.erase(0, found + words.size());
  };
  drop_up_to("last error: ");
  for (const std::string_view code : {"UNKNOWN: ", "UNAVAILABLE: ", "INTERNAL: "}) {
    if (text.starts_with(code)) text.erase(0, code.size());
  }
  if (text.starts_with("ipv4:") || text.starts_with("ipv6:") || text.starts_with("unix:")) {
    const std::size_t end = text.find(": ");
    if (end != std::string::npos) text.erase(0, end + 2);
  }
  drop_up_to("Failed to connect to remote host: ");
  return text;
}

std::string reason(const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return "no answer in time";
  std::string text = without_wrapping(status.error_message());
  std::ranges::replace_if(
      text, [](char byte) { return byte == '\n' || byte == '\r' || byte == '\t'; }, ' ');
  return text.empty() ? fmt::format("status {}", static_cast<int>(status.error_code())) : text;
}

bool has_text(const grpc::Status& status, std::string_view text) {
  return status.error_message().find(text) != std::string::npos;
}

bool is_not_reached(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
}

enum class Meaning { RefusedForGood, RefusedNow, Unknown };

// Only what etcd says after it decided not to do the call counts as refused.
Meaning meaning(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::UNIMPLEMENTED:
      return Meaning::RefusedForGood;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:  // its database is full, too many requests, or:
      return has_text(status, "larger than max") ? Meaning::RefusedForGood : Meaning::RefusedNow;
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::ALREADY_EXISTS:
      return Meaning::RefusedNow;
    default:
      return Meaning::Unknown;
  }
}

[[noreturn]] void fail(const EtcdCall& call, const std::string& endpoint,
                       const grpc::Status& status) {
  const std::string text =
      fmt::format("etcd {}: cannot {}: {}", endpoint, call.what, reason(status));
  switch (meaning(status)) {
    case Meaning::RefusedForGood:
      throw Error(ErrorCode::Internal, text);
    case Meaning::RefusedNow:
      throw Error(ErrorCode::Unavailable, text);
    case Meaning::Unknown:
      break;
  }
  throw Error(ErrorCode::Unavailable,
              call.repeatable ? text : text + " (it may or may not have been applied)");
}

[[noreturn]] void fail_unreached(const EtcdCall& call,
                                 const std::map<std::string, std::string>& problems) {
  std::string each;
  for (const auto& [endpoint, problem] : problems) {
    each += fmt::format("{}{} ({})", each.empty() ? "" : ", ", endpoint, problem);
  }
  throw Error(
      ErrorCode::Unavailable,
      fmt::format("etcd: cannot {}: no member can be reached, so nothing was sent: {}; start "
                  "etcd there, or check network and firewall",
                  call.what, each));
}

void check_cancelled(const EtcdCall& call) {
  if (!call.cancellation.cancelled()) return;
  throw Error(ErrorCode::Unavailable, "etcd: cancelled: " + call.what);
}

// Any answer will do. gRPC works on a connection only while a call waits for it, so a probe that
// waits is also what makes the connection; one that does not wait ends at once when the last
// attempt failed, and says why.
grpc::Status probe(const EtcdCall& call, const EtcdEndpoint& endpoint, Clock::time_point deadline,
                   bool waits) {
  grpc::ClientContext context;
  const Cancellation::Scope scope(call.cancellation, context);
  set_deadline(context, deadline);
  context.set_wait_for_ready(waits);
  etcdserverpb::StatusResponse response;
  return etcdserverpb::Maintenance::NewStub(endpoint.channel)->Status(&context, {}, &response);
}

// What is left of the time, divided among the endpoints that are not yet tried in this round.
Clock::time_point share(Clock::time_point deadline, std::size_t tried, std::size_t endpoints) {
  const auto now = Clock::now();
  const auto left = static_cast<Clock::rep>(endpoints - tried % endpoints);
  return now + (deadline - now) / left;
}

}  // namespace

EtcdCaller::EtcdCaller(const EtcdSettings& settings)
    : endpoints_(make_endpoints(settings)), user_(settings.user), password_(settings.password) {}

void EtcdCaller::call(const EtcdCall& call, const Invoke& invoke) {
  const auto deadline = api::CallDeadline::earliest(Clock::now() + call.timeout);
  std::string used = token(call, deadline);
  Outcome outcome = attempt(call, deadline, used, invoke);
  if (is_token_problem(outcome.status)) {
    // Refused before anything was done, so it is safe to send it again whatever it is.
    forget_token_unless_renewed(used);
    used = token(call, deadline);
    outcome = attempt(call, deadline, used, invoke);
  }
  if (!outcome.status.ok()) fail(call, outcome.endpoint, outcome.status);
}

const EtcdEndpoint& EtcdCaller::prepare_stream(const EtcdCall& call, grpc::ClientContext& context) {
  const auto deadline = Clock::now() + call.timeout;
  add_metadata(context, token(call, deadline));
  return find_alive(call, deadline);
}

// Ends with the first answer that asking again cannot change, or when the time is over.
EtcdCaller::Outcome EtcdCaller::attempt(const EtcdCall& call, Clock::time_point deadline,
                                        const std::string& token, const Invoke& invoke) {
  for (std::size_t tried = 0;; ++tried) {
    const EtcdEndpoint& endpoint = find_alive(call, deadline);
    grpc::ClientContext context;
    const Cancellation::Scope scope(call.cancellation, context);
    set_deadline(context, call.repeatable ? share(deadline, tried, endpoints_.size()) : deadline);
    add_metadata(context, token);
    const grpc::Status status = invoke(endpoint.channel, context);
    if (status.ok()) return {status, endpoint.name};
    check_cancelled(call);
    if (meaning(status) != Meaning::Unknown) return {status, endpoint.name};
    avoid(endpoint);
    if (!call.repeatable || Clock::now() + kPause >= deadline) return {status, endpoint.name};
    call.cancellation.wait_for(kPause);
  }
}

const EtcdEndpoint& EtcdCaller::find_alive(const EtcdCall& call, Clock::time_point deadline) {
  std::map<std::string, std::string> problems;
  for (std::size_t tried = 0;; ++tried) {
    check_cancelled(call);
    const EtcdEndpoint& endpoint = current();
    if (endpoint.channel->GetState(true) == GRPC_CHANNEL_READY) return endpoint;
    // First a quick look at each, then some time for each in turn.
    const bool waits = tried >= endpoints_.size();
    const auto until = share(deadline, tried, endpoints_.size());
    const grpc::Status status =
        probe(call, endpoint, waits ? std::min(until, Clock::now() + kTurn) : until, waits);
    if (!is_not_reached(status)) return endpoint;
    if (!waits) problems[endpoint.name] = reason(status);
    avoid(endpoint);
    if (Clock::now() + kPause >= deadline) fail_unreached(call, problems);
    if (waits && status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) {
      call.cancellation.wait_for(kPause);
    }
  }
}

std::string EtcdCaller::token(const EtcdCall& call, Clock::time_point deadline) {
  if (user_.empty()) return {};
  const std::unique_lock lock(token_mutex_, deadline);
  if (!lock) {
    throw Error(
        ErrorCode::Unavailable,
        fmt::format("etcd: cannot {}: timed out logging in, so nothing was sent", call.what));
  }
  if (token_) return *token_;
  etcdserverpb::AuthenticateRequest request;
  request.set_name(user_);
  request.set_password(password_);
  etcdserverpb::AuthenticateResponse response;
  const EtcdCall log_in{.what = fmt::format("log in as {} (to {})", user_, call.what),
                        .cancellation = call.cancellation,
                        .timeout = call.timeout};
  const Outcome outcome =
      attempt(log_in, deadline, {}, [&](const Channel& channel, grpc::ClientContext& context) {
        return etcdserverpb::Auth::NewStub(channel)->Authenticate(&context, request, &response);
      });
  const bool is_not_needed = outcome.status.error_code() == grpc::StatusCode::FAILED_PRECONDITION &&
                             has_text(outcome.status, "not enabled");
  if (!outcome.status.ok() && !is_not_needed) fail(log_in, outcome.endpoint, outcome.status);
  token_ = response.token();
  return *token_;
}

bool EtcdCaller::is_token_problem(const grpc::Status& status) const {
  if (user_.empty()) return false;
  if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED) return true;
  // The users or roles were changed since we logged in; or authentication was switched on after we
  // had found it off.
  return status.error_code() == grpc::StatusCode::INVALID_ARGUMENT &&
         (has_text(status, "revision of auth store is old") ||
          has_text(status, "user name is empty"));
}

void EtcdCaller::forget_token_unless_renewed(const std::string& used) {
  const std::lock_guard lock(token_mutex_);
  if (token_ == used) token_.reset();
}

void EtcdCaller::forget_token() {
  const std::lock_guard lock(token_mutex_);
  token_.reset();
}

void EtcdCaller::avoid(const EtcdEndpoint& endpoint) {
  const std::lock_guard lock(current_mutex_);
  // Another thread may have moved on already.
  if (&endpoint == &endpoints_[current_]) current_ = (current_ + 1) % endpoints_.size();
}

const EtcdEndpoint& EtcdCaller::current() {
  const std::lock_guard lock(current_mutex_);
  return endpoints_[current_];
}

}  // namespace plexvol::store
