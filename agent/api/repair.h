// `plexvol store repair`: what the store says of each volume, what the nodes acted on, and what is
// made of it. Part of the protocol (protocol.h).
#pragma once

#include <string>
#include <vector>

namespace plexvol::api {

inline constexpr const char* kStoreRepairPath = "/v1/store/repair";  // RepairRequest -> RepairReply

struct RepairRequest {
  // A person's decision on a volume in doubt: the replica on this node counts, whatever others
  // have.
  struct Choice {
    std::string volume;
    std::string node;
  };

  bool apply = false;                // else nothing is changed
  bool accept_data_loss = false;     // needed for `use`
  std::vector<std::string> without;  // nodes that are gone on without, though they say nothing
  std::vector<Choice> use;
};

struct RepairVolume {
  std::string name;
  std::string store;               // "set 5 {n1,n2}", or "unknown"
  std::vector<std::string> nodes;  // "n2 acted on set 6 {n2}", "n3 has not answered"
  std::string action;              // what is to be done, or was
  bool in_doubt = false;           // nothing is done
};

struct RepairReply {
  std::string rolled_back;  // who saw what and when; "": nobody says that the store is older
  std::vector<RepairVolume> volumes;
  bool applied = false;
  bool done = false;  // the sets may be changed again
};

std::string to_json(const RepairRequest& request);
std::string to_json(const RepairReply& reply);
// Throw InvalidArgument, as those of protocol.h do.
RepairRequest repair_request_from_json(const std::string& text);
RepairReply repair_reply_from_json(const std::string& text);

}  // namespace plexvol::api
