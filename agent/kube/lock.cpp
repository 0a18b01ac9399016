#include "agent/kube/lock.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/kube/json.h"

namespace plexvol::kube {

namespace {

constexpr const char* kLeases = "coordination.k8s.io/v1";
constexpr const char* kOldLeases = "coordination.k8s.io/v1beta1";
// Whatever a lock says of itself.
constexpr std::int64_t kMostSeconds = 3600;
constexpr std::int64_t kMostTransitions = 1'000'000'000;
constexpr const char* kAnnotation = "control-plane.alpha.kubernetes.io/leader";

// What a Lease and client-go's LeaderElectionRecord call the same things.
struct Names {
  const char* duration;
  const char* acquired_at;
  const char* renewed_at;
  const char* transitions;
};
constexpr Names kLeaseNames{"leaseDurationSeconds", "acquireTime", "renewTime", "leaseTransitions"};
constexpr Names kRecordNames{"leaseDurationSeconds", "acquireTime", "renewTime",
                             "leaderTransitions"};

LockRecord read_record(const Fields& fields, const Names& names) {
  LockRecord record;
  record.holder = fields.text("holderIdentity");
  record.duration = std::chrono::seconds(
      std::clamp<std::int64_t>(fields.number(names.duration), 0, kMostSeconds));
  record.acquired_at = fields.text(names.acquired_at);
  record.renewed_at = fields.text(names.renewed_at);
  record.transitions =
      std::clamp<std::int64_t>(fields.number(names.transitions), 0, kMostTransitions);
  return record;
}

// An empty time or holder would be refused.
void write_text(const std::string& text, const char* key, JsonValue& json) {
  if (text.empty()) {
    json.erase(key);
  } else {
    json[key] = text;
  }
}

void write_record(const LockRecord& record, const Names& names, JsonValue& json) {
  if (!json.is_object()) json = JsonValue::object();
  write_text(record.holder, "holderIdentity", json);
  json[names.duration] = record.duration.count();
  write_text(record.acquired_at, names.acquired_at, json);
  write_text(record.renewed_at, names.renewed_at, json);
  json[names.transitions] = record.transitions;
}

}  // namespace

Lock::Lock(Client& client, std::string ns, std::string name)
    : client_(client), ns_(std::move(ns)), name_(std::move(name)) {}

Lock::Kind Lock::kind() {
  if (!kind_) {
    kind_ = client_.serves(kLeases)      ? Kind::Lease
            : client_.serves(kOldLeases) ? Kind::LeaseBeta
                                         : Kind::ConfigMap;
  }
  return *kind_;
}

std::string Lock::path() {
  if (kind() == Kind::ConfigMap) return fmt::format("/api/v1/namespaces/{}/configmaps", ns_);
  return fmt::format("/apis/{}/namespaces/{}/leases", kind() == Kind::Lease ? kLeases : kOldLeases,
                     ns_);
}

std::optional<Lock::Seen> Lock::read() {
  const std::string subject = fmt::format("lock {}/{}", ns_, name_);
  Seen seen;
  try {
    seen.object = client_.get(path() + '/' + name_);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::NotFound) throw;
    return std::nullopt;
  }
  const JsonValue json = parse_object(seen.object, subject);
  const Fields fields(json, subject);
  if (kind() != Kind::ConfigMap) {
    seen.record = read_record(fields.object("spec"), kLeaseNames);
    const auto spec = json.find("spec");
    seen.record_text = spec == json.end() ? "" : dump(*spec);
    return seen;
  }
  const Words annotations = fields.object("metadata").words("annotations");
  const auto text = annotations.find(kAnnotation);
  if (text == annotations.end()) return seen;
  seen.record_text = text->second;
  seen.record = read_record(Fields(parse_object(text->second, subject), subject), kRecordNames);
  return seen;
}

void Lock::create(const LockRecord& record) {
  JsonValue json;
  json["metadata"] = {{"namespace", ns_}, {"name", name_}};
  if (kind() == Kind::ConfigMap) {
    json["apiVersion"] = "v1";
    json["kind"] = "ConfigMap";
    JsonValue text = JsonValue::object();
    write_record(record, kRecordNames, text);
    json["metadata"]["annotations"][kAnnotation] = dump(text);
  } else {
    json["apiVersion"] = kind() == Kind::Lease ? kLeases : kOldLeases;
    json["kind"] = "Lease";
    write_record(record, kLeaseNames, json["spec"]);
  }
  client_.create(path(), dump(json));
}

void Lock::replace(const Seen& seen, const LockRecord& record) {
  JsonValue json = parse_object(seen.object, fmt::format("lock {}/{}", ns_, name_));
  if (kind() == Kind::ConfigMap) {
    JsonValue text = JsonValue::object();
    write_record(record, kRecordNames, text);
    json["metadata"]["annotations"][kAnnotation] = dump(text);
  } else {
    write_record(record, kLeaseNames, json["spec"]);
  }
  client_.replace(path() + '/' + name_, dump(json));
}

std::string Lock::now() {
  using std::chrono::microseconds;
  const auto since_1970 =
      std::chrono::duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  constexpr std::int64_t kPerSecond = 1'000'000;
  std::string text = time_to_text(since_1970 / kPerSecond);
  if (kind() == Kind::ConfigMap) return text;
  text.pop_back();
  return fmt::format("{}.{:06}Z", text, since_1970 % kPerSecond);
}

}  // namespace plexvol::kube
