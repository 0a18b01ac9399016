#include "agent/model/members.h"

#include <fmt/core.h>

#include <utility>

#include "agent/api/error.h"

namespace plexvol::model {

namespace {

// None of ours has more than four. Whoever nests without end must not end the agent, which takes
// its records apart by recursion.
constexpr int kMaxDepth = 64;

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::Internal, what);
}

}  // namespace

Json parse_record(const std::string& text) {
  const auto watch_depth = [](int depth, Json::parse_event_t /*event*/, Json& /*parsed*/) {
    if (depth > kMaxDepth) fail("it is nested too deeply");
    return true;
  };
  try {
    return Json::parse(text, watch_depth);
  } catch (const Json::parse_error& error) {
    // Not its own words: they show what was read last.
    fail(fmt::format("it is not JSON (error at byte {})", error.byte));
  } catch (const Json::exception&) {
    fail("it holds a number that is out of range");
  }
}

Json with_unknown(Json known, const Unknown& unknown) {
  if (unknown.members.empty()) return known;
  Json all = Json::parse(unknown.members);
  all.update(known);
  return all;
}

std::string dump_any(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Members::Members(const Json& object, std::string place)
    : object_(object), place_(std::move(place)) {
  if (object.is_object()) return;
  fail((place_.empty() ? "it" : place_.substr(0, place_.size() - 1)) + " is not an object");
}

void Members::reject(const char* key, const std::string& what) const {
  fail(fmt::format("{}{} {}", place_, key, what));
}

const Json* Members::find(const char* key) {
  const auto found = object_.find(key);
  known_.insert(key);
  return found == object_.end() ? nullptr : &*found;
}

const Json& Members::get(const char* key) {
  const Json* found = find(key);
  if (found == nullptr) reject(key, "is missing");
  return *found;
}

std::string Members::to_text(const char* key, const Json& value) const {
  if (!value.is_string()) reject(key, "is not a string");
  return value.get<std::string>();
}

std::string Members::text(const char* key) {
  return to_text(key, get(key));
}

std::string Members::text(const char* key, const std::string& fallback) {
  const Json* found = find(key);
  return found == nullptr ? fallback : to_text(key, *found);
}

bool Members::flag(const char* key) {
  const Json& value = get(key);
  if (!value.is_boolean()) reject(key, "is neither true nor false");
  return value.get<bool>();
}

bool Members::flag(const char* key, bool fallback) {
  return find(key) == nullptr ? fallback : flag(key);
}

std::vector<std::string> Members::to_texts(const char* key, const Json& value) const {
  if (!value.is_array()) reject(key, "is not a list");
  std::vector<std::string> texts;
  for (const Json& element : value) texts.push_back(to_text(key, element));
  return texts;
}

std::set<std::string> Members::texts(const char* key) {
  const std::vector<std::string> found = to_texts(key, get(key));
  return {found.begin(), found.end()};
}

std::set<std::string> Members::texts(const char* key, const std::set<std::string>& fallback) {
  return find(key) == nullptr ? fallback : texts(key);
}

std::vector<std::string> Members::text_list(const char* key) {
  const Json* found = find(key);
  return found == nullptr ? std::vector<std::string>{} : to_texts(key, *found);
}

double Members::percent(const char* key, double fallback) {
  const Json* found = find(key);
  if (found == nullptr) return fallback;
  if (!found->is_number()) reject(key, "is not a number");
  const auto value = found->get<double>();
  if (!(value >= 0 && value <= 100)) reject(key, "is not from 0 to 100");
  return value;
}

std::map<std::string, std::int64_t> Members::times(const char* key) {
  std::map<std::string, std::int64_t> times;
  const Json* found = find(key);
  if (found == nullptr) return times;
  if (!found->is_object()) reject(key, "is not an object");
  for (const auto& [name, time] : found->items()) {
    times[name] = static_cast<std::int64_t>(
        to_number(key, time, true, widen(std::numeric_limits<std::int64_t>::max())));
  }
  return times;
}

std::vector<Members> Members::objects(const char* key) {
  const Json& list = get(key);
  if (!list.is_array()) reject(key, "is not a list");
  std::vector<Members> objects;
  for (const Json& element : list) {
    objects.emplace_back(element, fmt::format("{}{}[{}].", place_, key, objects.size()));
  }
  return objects;
}

std::vector<Members> Members::objects_or_none(const char* key) {
  return find(key) == nullptr ? std::vector<Members>{} : objects(key);
}

Members Members::object(const char* key) {
  return Members(get(key), place_ + key + ".");
}

std::uint64_t Members::to_number(const char* key, const Json& value, bool may_be_negative,
                                 std::uint64_t most) const {
  // A number that does not fit into 64 bits has become a floating one.
  if (value.is_number_unsigned() && value.get<std::uint64_t>() <= most) {
    return value.get<std::uint64_t>();
  }
  const bool negative = value.is_number_integer() && !value.is_number_unsigned();
  if (negative && may_be_negative) return static_cast<std::uint64_t>(value.get<std::int64_t>());
  reject(key,
         fmt::format("is {}not a whole number {} {}", value.is_number() ? value.dump() + ", " : "",
                     may_be_negative ? "up to" : "from 0 to", most));
}

Unknown Members::rest() const {
  Json rest = Json::object();
  for (const auto& [key, value] : object_.items()) {
    if (!known_.contains(key)) rest[key] = value;
  }
  return {.members = rest.empty() ? "" : rest.dump()};
}

}  // namespace plexvol::model
