#include "agent/kube/client.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "agent/api/call_deadline.h"
#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/deadline.h"
#include "agent/base/files.h"
#include "agent/kube/failure.h"
#include "agent/kube/json.h"
#include "agent/kube/transport.h"
#include "agent/kube/watch_lines.h"

namespace plexvol::kube {

namespace {

constexpr const char* kJson = "application/json";
constexpr const char* kAccount = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr std::size_t kMostPages = 10'000;
// The server ends a watch itself. Beyond this it must have been forgotten.
constexpr std::chrono::seconds kWatchGrace{30};
constexpr std::chrono::seconds kShortestWatch{300};
constexpr std::chrono::seconds kLongestWatch{600};

std::string variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets any
  if (value == nullptr || *value == '\0') {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("{} is not set: not in a pod of a cluster", name));
  }
  return value;
}

std::string with_query(const std::string& path, const std::string& query) {
  return path + (path.find('?') == std::string::npos ? '?' : '&') + query;
}

std::string escape(const std::string& text) {
  std::string escaped;
  for (const char letter : text) {
    const bool is_plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                          (letter >= '0' && letter <= '9') || letter == '-' || letter == '_' ||
                          letter == '.' || letter == '~';
    escaped += is_plain ? std::string(1, letter)
                        : fmt::format("%{:02X}", static_cast<unsigned char>(letter));
  }
  return escaped;
}

const char* content_type(PatchKind kind) {
  switch (kind) {
    case PatchKind::Json:
      return "application/json-patch+json";
    case PatchKind::Merge:
      return "application/merge-patch+json";
    case PatchKind::Strategic:
      return "application/strategic-merge-patch+json";
  }
  return "";
}

std::stop_token& stop_in_force() {
  thread_local std::stop_token stop;
  return stop;
}

bool is_success(const HttpReply& reply) {
  return reply.status >= 200 && reply.status < 300;
}

// So that the watches of many do not all begin again at once.
std::chrono::seconds choose_duration(std::chrono::seconds longest) {
  thread_local std::minstd_rand random{std::random_device()()};
  std::uniform_int_distribution<std::chrono::seconds::rep> seconds(kShortestWatch.count(),
                                                                   kLongestWatch.count());
  return std::clamp(std::chrono::seconds(seconds(random)), std::chrono::seconds(1),
                    std::max(std::chrono::seconds(1), longest));
}

struct Page {
  std::string next;  // "": the last one
  std::string resource_version;
};

// Adds the objects of a list's page.
Page read_page(const std::string& text, const std::string& what,
               std::vector<std::string>& objects) {
  JsonValue json = parse_object(text, what);
  const Fields meta = Fields(json, what).object("metadata");
  Page page{meta.text("continue"), meta.text("resourceVersion")};
  const std::string version = text_or_empty(json, "apiVersion");
  std::string kind = text_or_empty(json, "kind");
  constexpr std::string_view kEnding = "List";
  if (kind.ends_with(kEnding)) kind.resize(kind.size() - kEnding.size());
  const auto items = json.find("items");
  if (items == json.end() || items->is_null()) return page;
  if (!items->is_array()) {
    throw Error(ErrorCode::Internal, fmt::format("{}: items is not a list", what));
  }
  for (JsonValue& item : *items) {
    if (!item.is_object()) {
      throw Error(ErrorCode::Internal, fmt::format("{}: an item is not an object", what));
    }
    item.emplace("apiVersion", version);
    item.emplace("kind", kind);
    objects.push_back(dump(item));
  }
  return page;
}

}  // namespace

struct Client::Parts {
  ClientSettings settings;
  Transport transport;
  std::mutex mutex;
  std::optional<std::set<std::string>> served;

  explicit Parts(ClientSettings with) : settings(std::move(with)), transport(settings) {}

  base::Deadline deadline() const {
    return api::CallDeadline::earliest(base::Clock::now() + settings.timeout);
  }

  HttpReply exchange(const HttpRequest& request) {
    return transport.send(request, deadline(), CallStop::in_force());
  }

  std::string call(const HttpRequest& request) {
    HttpReply reply = exchange(request);
    if (!is_success(reply)) throw to_error(describe(request), reply);
    return std::move(reply.body);
  }

  // nullopt: the continue token has expired.
  std::optional<Listed> try_list(const std::string& path);
  std::set<std::string> discover();
};

std::optional<Listed> Client::Parts::try_list(const std::string& path) {
  const std::string limited = with_query(path, fmt::format("limit={}", settings.page_size));
  Listed listed;
  std::string next;
  for (std::size_t pages = 0; pages < kMostPages; ++pages) {
    HttpRequest request;
    request.path = next.empty() ? limited : with_query(limited, "continue=" + escape(next));
    const HttpReply reply = exchange(request);
    if (reply.status == 410 && !next.empty()) return std::nullopt;
    if (!is_success(reply)) throw to_error(describe(request), reply);
    Page page = read_page(reply.body, describe(request), listed.objects);
    listed.resource_version = std::move(page.resource_version);
    next = std::move(page.next);
    if (next.empty()) return listed;
  }
  throw Error(ErrorCode::Internal,
              fmt::format("GET {}: the list does not end after {} pages", path, kMostPages));
}

std::set<std::string> Client::Parts::discover() {
  std::set<std::string> found;
  HttpRequest request;
  request.path = "/api";
  const JsonValue core = parse_object(call(request), describe(request));
  for (const std::string& version : Fields(core, describe(request)).texts("versions")) {
    found.insert(version);
  }
  request.path = "/apis";
  const JsonValue groups = parse_object(call(request), describe(request));
  for (const Fields& group : Fields(groups, describe(request)).objects("groups")) {
    for (const Fields& version : group.objects("versions")) {
      found.insert(version.text("groupVersion"));
    }
  }
  return found;
}

ClientSettings in_cluster_settings() {
  const std::string host = variable("KUBERNETES_SERVICE_HOST");
  const std::string port = variable("KUBERNETES_SERVICE_PORT");
  const bool is_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  ClientSettings settings;
  settings.server = fmt::format("https://{}:{}", is_ipv6 ? '[' + host + ']' : host, port);
  settings.ca_file = fmt::format("{}/ca.crt", kAccount);
  settings.token_file = fmt::format("{}/token", kAccount);
  settings.user_agent = "plexvol/" PLEXVOL_VERSION;
  return settings;
}

std::string in_cluster_namespace() {
  constexpr std::size_t kLongest = 4096;
  std::string name =
      base::read_file(fmt::format("{}/namespace", kAccount), kLongest).value_or(std::string());
  name.erase(name.find_last_not_of(" \r\n\t") + 1);
  return name;
}

CallStop::CallStop(std::stop_token stop)
    : before_(std::exchange(stop_in_force(), std::move(stop))) {}

CallStop::~CallStop() {
  stop_in_force() = std::move(before_);
}

std::stop_token CallStop::in_force() {
  return stop_in_force();
}

Client::Client(ClientSettings settings) : parts_(std::make_unique<Parts>(std::move(settings))) {}

Client::~Client() = default;

std::string Client::get(const std::string& path) {
  return parts_->call({"GET", path, "", ""});
}

std::string Client::create(const std::string& path, const std::string& object) {
  return parts_->call({"POST", path, kJson, object});
}

std::string Client::replace(const std::string& path, const std::string& object) {
  return parts_->call({"PUT", path, kJson, object});
}

std::string Client::patch(const std::string& path, PatchKind kind, const std::string& body) {
  return parts_->call({"PATCH", path, content_type(kind), body});
}

void Client::remove(const std::string& path, const Precondition& precondition,
                    std::optional<unsigned> grace_seconds) {
  // Also without a condition it has a body: what has one is never sent twice. The server does not
  // look at options of the query then.
  JsonValue options = {{"apiVersion", "v1"}, {"kind", "DeleteOptions"}};
  if (!precondition.uid.empty()) options["preconditions"]["uid"] = precondition.uid;
  if (!precondition.resource_version.empty()) {
    options["preconditions"]["resourceVersion"] = precondition.resource_version;
  }
  if (grace_seconds) options["gracePeriodSeconds"] = *grace_seconds;
  parts_->call({"DELETE", path, kJson, dump(options)});
}

Listed Client::list(const std::string& path) {
  constexpr int kAttempts = 2;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::optional<Listed> listed = parts_->try_list(path);
    if (listed) return std::move(*listed);
  }
  throw Error(ErrorCode::Unavailable,
              fmt::format("GET {}: 410 the list expired twice before its last page", path));
}

bool Client::watch(const std::string& path, const std::string& resource_version,
                   const std::function<void(const WatchEvent&)>& on_event, std::stop_token stop,
                   std::chrono::seconds longest) {
  const std::chrono::seconds duration = choose_duration(longest);
  HttpRequest request;
  request.path = with_query(
      path, fmt::format("watch=1&allowWatchBookmarks=true&timeoutSeconds={}", duration.count()));
  if (!resource_version.empty()) {
    request.path = with_query(request.path, "resourceVersion=" + escape(resource_version));
  }
  const std::string what = "WATCH " + path.substr(0, path.find('?'));
  Lines lines(what);
  bool is_expired = false;
  const auto on_line = [&](std::string_view text) {
    const WatchLine line = decode_watch_line(text, what);
    is_expired = line.is_expired;
    if (line.event) on_event(*line.event);
    return !is_expired && !stop.stop_requested();
  };
  const base::Deadline now = base::Clock::now();
  const HttpReply reply = parts_->transport.stream(
      request, {.status_by = parts_->deadline(), .end_by = now + duration + kWatchGrace},
      [&](std::string_view part) { return lines.add(part, on_line); }, stop);
  if (is_expired || reply.status == 410) return false;
  if (stop.stop_requested()) return true;
  if (!is_success(reply)) throw to_error(what, reply);
  if (lines.has_rest()) {
    throw Error(ErrorCode::Unavailable, what + ": the connection ended within an event");
  }
  return true;
}

bool Client::serves(const std::string& group_version) {
  const std::lock_guard lock(parts_->mutex);
  if (!parts_->served) parts_->served = parts_->discover();
  return parts_->served->contains(group_version);
}

}  // namespace plexvol::kube
