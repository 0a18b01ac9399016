// Lines of `drbdsetup events2`: "exists device name:v1 volume:0 minor:1000 disk:UpToDate". Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace plexvol::drbd {

struct EventLine {
  std::string_view action;  // exists, create, change, destroy, call, response, rename
  // resource, connection, device, peer-device, helper; "-" at the end of the initial state.
  std::string_view object;
  std::string_view fields;  // "name:v1 volume:0 ..."
};

// nullopt for an empty line or a single word.
std::optional<EventLine> parse_event_line(std::string_view line);
// The value of "key:", "" when there is none. Values may hold colons ("ipv4:10.0.0.1:7000").
std::string_view find_field(std::string_view fields, std::string_view key);

// The two ends of a resource's connection, as `drbdsetup disconnect` wants them:
// "ipv4:10.0.0.1:7000". From `drbdsetup show RESOURCE` (8.4's events2 has no addresses), whose text
// also holds the secret. nullopt without a connection.
struct Endpoints {
  std::string local;
  std::string peer;
};
std::optional<Endpoints> parse_endpoints(std::string_view show);

}  // namespace plexvol::drbd
