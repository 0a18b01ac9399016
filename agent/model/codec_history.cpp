// The records of what happened to a volume's set, and of what nodes know of it.
#include <utility>

#include "agent/model/codec.h"
#include "agent/model/members.h"

namespace plexvol::model {

namespace {

Json to_members(const History& history) {
  Json changes = Json::array();
  for (const SetChange& change : history.changes) {
    changes.push_back(with_unknown({{"epoch", change.epoch}, {"id", change.id}}, change.unknown));
  }
  return with_unknown({{"changes", std::move(changes)}}, history.unknown);
}

History to_history(Members members) {
  History history;
  for (Members& change : members.objects("changes")) {
    history.changes.push_back(
        {.epoch = change.number<std::uint64_t>("epoch"), .id = change.text("id")});
    history.changes.back().unknown = change.rest();
  }
  history.unknown = members.rest();
  return history;
}

}  // namespace

std::string to_json(const History& history) {
  return to_members(history).dump();
}

template <>
History from_json<History>(const std::string& text) {
  const Json json = parse_record(text);
  return to_history(Members(json));
}

std::string to_json(const Acted& acted) {
  return dump_any(with_unknown({{"volume", acted.volume},
                                {"volume_id", acted.volume_id},
                                {"epoch", acted.epoch},
                                {"id", acted.id},
                                {"nodes", acted.nodes},
                                {"formatted", acted.formatted},
                                {"record", acted.record},
                                {"history", to_members(acted.history)}},
                               acted.unknown));
}

template <>
Acted from_json<Acted>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  Acted acted{.volume = members.text("volume"),
              .volume_id = members.text("volume_id"),
              .epoch = members.number<std::uint64_t>("epoch"),
              .id = members.text("id"),
              .nodes = members.texts("nodes"),
              .formatted = members.flag("formatted", false),
              .record = members.text("record", "")};
  if (members.find("history") != nullptr) acted.history = to_history(members.object("history"));
  acted.unknown = members.rest();
  return acted;
}

std::string to_json(const RolledBack& turned) {
  return dump_any(with_unknown({{"node", turned.node}, {"at", turned.at}, {"what", turned.what}},
                               turned.unknown));
}

template <>
RolledBack from_json<RolledBack>(const std::string& text) {
  const Json json = parse_record(text);
  Members members(json);
  RolledBack turned{.node = members.text("node", ""),
                    .at = members.number_or<std::int64_t>("at", 0),
                    .what = members.text("what", "")};
  turned.unknown = members.rest();
  return turned;
}

}  // namespace plexvol::model
