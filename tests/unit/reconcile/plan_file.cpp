#include "tests/unit/reconcile/plan_file.h"

#include <cerrno>
#include <set>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/base/files.h"
#include "agent/model/codec.h"
#include "tests/unit/reconcile/plan_cases.h"

namespace plexvol::reconcile {

namespace {

using Json = nlohmann::json;

// What the file leaves out of the record of the volume.
constexpr const char* kVolume = R"({
  "name": "v", "id": "6f1c1c1e-0000-4000-8000-000000000001", "size_bytes": 1073741824,
  "pool": "p", "fs_type": "ext4", "mkfs_options": "", "minor": 0, "port": 0, "secret": "",
  "current_uuid": "", "format": "Done", "replicas": []})";

// The members of an object, each of which has to be asked for.
class Object {
 public:
  Object(const Json& json, std::string place) : json_(json), place_(std::move(place)) {
    if (!json.is_object()) throw std::runtime_error(place_ + " is not an object");
  }

  const Json* find(const char* key) {
    known_.insert(key);
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }
  // What is missing stays as it is.
  template <class T>
  void read(const char* key, T& to) {
    const Json* found = find(key);
    if (found == nullptr) return;
    try {
      to = found->get<T>();
    } catch (const Json::exception& error) {
      throw std::runtime_error(place_of(key) + ": " + error.what());
    }
  }
  template <class T>
  void read_word(const char* key, T& to, const std::map<std::string, T>& words) {
    std::string word;
    read(key, word);
    if (word.empty()) return;
    if (!words.contains(word)) throw std::runtime_error(place_of(key) + ": no such word: " + word);
    to = words.at(word);
  }
  std::string place_of(const std::string& key) const { return place_ + "." + key; }
  void refuse_unknown() const {
    for (const auto& member : json_.items()) {
      if (!known_.contains(member.key())) {
        throw std::runtime_error(place_of(member.key()) + " is unknown");
      }
    }
  }

 private:
  const Json& json_;
  std::string place_;
  std::set<std::string> known_;
};

void refuse(const std::string& place, const model::Unknown& unknown) {
  if (!unknown.members.empty()) {
    throw std::runtime_error(place + " has unknown members: " + unknown.members);
  }
}

model::Volume to_volume(const Json& json) {
  Json record = Json::parse(kVolume);
  record.merge_patch(json);
  auto volume = model::from_json<model::Volume>(record.dump());
  refuse("wanted.volume", volume.unknown);
  for (const auto& replica : volume.replicas) refuse("wanted.volume.replicas", replica.unknown);
  return volume;
}

model::Current to_current(const Json& json) {
  Json record{{"epoch", 1}};
  record.merge_patch(json);
  auto current = model::from_json<model::Current>(record.dump());
  refuse("wanted.current", current.unknown);
  if (current.forced) refuse("wanted.current.forced", current.forced->unknown);
  return current;
}

model::Attachment to_attachment(const Json& json) {
  auto attachment = model::from_json<model::Attachment>(json.dump());
  refuse("wanted.attachment", attachment.unknown);
  if (attachment.release) refuse("wanted.attachment.release", attachment.release->unknown);
  return attachment;
}

Wanted to_wanted(const Json& json) {
  static const std::map<std::string, PeerFate> fates{
      {"Stays", PeerFate::Stays},   {"Gone", PeerFate::Gone},
      {"Unable", PeerFate::Unable}, {"Drained", PeerFate::Drained},
      {"Lost", PeerFate::Lost},     {"BackingGone", PeerFate::BackingGone},
      {"Moved", PeerFate::Moved},   {"Unwanted", PeerFate::Unwanted}};
  Object object(json, "wanted");
  Wanted wanted;
  wanted.here = "n1";
  object.read("here", wanted.here);
  const Json* volume = object.find("volume");
  wanted.volume = to_volume(volume == nullptr ? Json::object() : *volume);
  if (const Json* found = object.find("current")) wanted.current = to_current(*found);
  if (const Json* found = object.find("attachment")) wanted.attachment = to_attachment(*found);
  object.read("contradiction", wanted.contradiction);
  object.read("peer_alive", wanted.peer_alive);
  object.read_word("peer_fate", wanted.peer_fate, fates);
  object.read("others_whole", wanted.others_whole);
  object.read("drained", wanted.drained);
  object.read("peer_device_bytes", wanted.peer_device_bytes);
  object.refuse_unknown();
  return wanted;
}

Backing to_backing(Object& object) {
  Backing backing;
  object.read("device", backing.device);
  backing.path = backing.device;
  object.read("path", backing.path);
  object.read("active", backing.active);
  object.read("ours", backing.ours);
  object.read("making", backing.making);
  return backing;
}

drbd::ResourceState to_resource_state(Object& object) {
  drbd::ResourceState resource;
  resource.suspended = "no";
  object.read("role", resource.role);
  object.read("suspended", resource.suspended);
  object.read("disk_state", resource.disk_state);
  object.read("connection", resource.connection);
  object.read("peer_role", resource.peer_role);
  object.read("peer_disk_state", resource.peer_disk_state);
  object.read("replication", resource.replication);
  object.read("untouched", resource.untouched);
  return resource;
}

Device to_device(Object& object) {
  Device device;
  object.read("path", device.path);
  object.read("major", device.major);
  object.read("minor", device.minor);
  return device;
}

Error to_error(Object& object) {
  std::string code;
  std::string text;
  object.read("code", code);
  object.read("text", text);
  return {error_code_from_text(code), text};
}

filesystem::User to_user(Object& object) {
  filesystem::User user;
  object.read("pid", user.pid);
  object.read("command", user.command);
  object.read("what", user.what);
  return user;
}

PodUse to_pod(Object& object) {
  static const std::map<std::string, pods::Life> lives{{"Alive", pods::Life::Alive},
                                                       {"Unknown", pods::Life::Unknown}};
  PodUse pod;
  object.read("uid", pod.uid);
  object.read("mount", pod.mount);
  object.read_word("life", pod.verdict.life, lives);
  object.read("name", pod.verdict.name);
  object.read("why", pod.verdict.why);
  object.read("advice", pod.verdict.advice);
  return pod;
}

mounting::Counts to_counts(Object& object) {
  mounting::Counts counts;
  object.read("waiting", counts.waiting);
  object.read("mounting", counts.mounting);
  return counts;
}

filesystem::Probe to_probe(Object& object) {
  static const std::map<std::string, filesystem::Content> contents{
      {"Empty", filesystem::Content::Empty},
      {"Known", filesystem::Content::Known},
      {"Unknown", filesystem::Content::Unknown}};
  filesystem::Probe probe;
  object.read_word("content", probe.content, contents);
  object.read("type", probe.type);
  object.read("uuid", probe.uuid);
  object.read("detail", probe.detail);
  return probe;
}

template <class Convert>
auto convert_whole(const Json& json, const std::string& place, Convert convert) {
  Object object(json, place);
  auto converted = convert(object);
  object.refuse_unknown();
  return converted;
}

Seen to_seen(const Json& json) {
  Object object(json, "seen");
  Seen seen;
  const auto read = [&](const char* key, auto& to, auto convert) {
    const Json* found = object.find(key);
    if (found != nullptr) to = convert_whole(*found, object.place_of(key), convert);
  };
  read("data", seen.data, to_backing);
  read("metadata", seen.metadata, to_backing);
  read("backing_error", seen.backing_error, to_error);
  read("resource", seen.resource, to_resource_state);
  read("device", seen.device, to_device);
  read("pod", seen.pod, to_pod);
  read("calls", seen.calls, to_counts);
  read("content", seen.content, to_probe);
  if (const Json* users = object.find("users")) {
    for (const Json& user : *users) {
      seen.users.push_back(convert_whole(user, "seen.users", to_user));
    }
  }
  object.read("absence_is_certain", seen.absence_is_certain);
  object.read("growth_failed", seen.growth_failed);
  object.read("mirror_left", seen.mirror_left);
  object.read("data_bytes", seen.data_bytes);
  object.read("device_bytes", seen.device_bytes);
  object.read("config_current", seen.config_current);
  object.read("connection_current", seen.connection_current);
  object.read("only_resync_options_changed", seen.only_resync_options_changed);
  object.read("resource_is_foreign", seen.resource_is_foreign);
  object.read("connect_time_over", seen.connect_time_over);
  object.read("apart_time_over", seen.apart_time_over);
  object.read("question_time_over", seen.question_time_over);
  object.read("question_under_way", seen.question_under_way);
  object.read("linked", seen.linked);
  object.read("mounts", seen.mounts);
  object.read("refused_release", seen.refused_release);
  object.read("mounted_fault", seen.mounted_fault);
  object.read("just_formatted", seen.just_formatted);
  object.refuse_unknown();
  return seen;
}

std::string to_lines(const std::vector<Action>& actions) {
  std::string text;
  for (const Action& action : actions) text += to_text(action) + "\n";
  return text;
}

}  // namespace

PlanFile read_plan_file(const std::string& path) {
  const std::string wanted_mark = "--- wanted\n";
  const std::string seen_mark = "--- seen\n";
  const std::string expected_mark = "--- expected\n";
  try {
    const auto read = base::read_file(path);
    if (!read) throw std::runtime_error("cannot be read: " + base::error_text(errno));
    const std::string& text = *read;
    const std::size_t wanted = text.find(wanted_mark);
    const std::size_t seen = text.find(seen_mark);
    const std::size_t expected = text.find(expected_mark);
    if (wanted == std::string::npos || seen == std::string::npos || seen < wanted ||
        expected == std::string::npos || expected < seen) {
      throw std::runtime_error("has not the parts wanted, seen and expected, in this order");
    }
    const std::size_t wanted_begin = wanted + wanted_mark.size();
    const std::size_t seen_begin = seen + seen_mark.size();
    PlanFile file;
    file.head = text.substr(0, expected + expected_mark.size());
    file.expected = text.substr(file.head.size());
    file.wanted = to_wanted(Json::parse(text.substr(wanted_begin, seen - wanted_begin)));
    file.seen = to_seen(Json::parse(text.substr(seen_begin, expected - seen_begin)));
    return file;
  } catch (const std::exception& error) {
    throw std::runtime_error(path + ": " + error.what());
  }
}

std::string plan_in_text(const Wanted& wanted, const Seen& seen) {
  const std::string arbitration = to_lines(plan_arbitration(wanted, cases::without_lvm(seen)));
  return to_lines(plan(wanted, seen)) +
         (arbitration.empty() ? "" : "--- arbitration\n" + arbitration);
}

}  // namespace plexvol::reconcile
