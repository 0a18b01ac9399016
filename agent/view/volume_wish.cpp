#include "agent/view/volume_wish.h"

#include "agent/api/text.h"
#include "agent/view/conditions.h"

namespace plexvol::view {

namespace {

constexpr unsigned kMostCopies = 1000;  // it fits; whether so many are allowed the agent says

unsigned count(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return 0;
  const auto number = found->get<std::uint64_t>();
  return number > kMostCopies ? kMostCopies : static_cast<unsigned>(number);
}

}  // namespace

VolumeWish find_volume_wish(const std::string& spec, const std::string& status) {
  const Json wanted = parse_status(spec);
  const Json known = parse_status(status);
  VolumeWish wish{.copies = count(wanted, "copies"), .size = word(wanted, "size")};
  if (wish.copies == count(known, kCopiesAsked)) wish.copies = 0;
  if (wish.size == word(known, kSizeAsked)) wish.size.clear();
  return wish;
}

std::string with_answer(const std::string& status, const VolumeWish& wish, const Answer& answer,
                        const std::string& before, std::int64_t now) {
  Json json = parse_status(status);
  if (wish.copies != 0) json[kCopiesAsked] = wish.copies;
  if (!wish.size.empty()) json[kSizeAsked] = wish.size;
  Json conditions = Json::array();
  for (const Json& condition : json["conditions"]) {
    if (word(condition, "type") != kRequestDone) conditions.push_back(condition);
  }
  json["conditions"] = std::move(conditions);
  add_condition(json, parse_status(before),
                {kRequestDone, answer.done ? "True" : "False", answer.done ? "Done" : "Refused",
                 one_line(answer.message)},
                now);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace plexvol::view
