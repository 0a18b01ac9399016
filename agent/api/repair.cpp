#include "agent/api/repair.h"

#include "agent/api/codec.h"

namespace plexvol::api {

using codec::may;
using codec::must;

constexpr auto fields_of(const RepairRequest::Choice*) {
  using S = RepairRequest::Choice;
  return std::tuple{must("volume", &S::volume), must("node", &S::node)};
}
constexpr auto fields_of(const RepairRequest*) {
  using S = RepairRequest;
  return std::tuple{may("apply", &S::apply), may("accept_data_loss", &S::accept_data_loss),
                    may("without", &S::without), may("use", &S::use)};
}
constexpr auto fields_of(const RepairVolume*) {
  using S = RepairVolume;
  return std::tuple{must("name", &S::name), may("store", &S::store), may("nodes", &S::nodes),
                    must("action", &S::action), must("in_doubt", &S::in_doubt)};
}
constexpr auto fields_of(const RepairReply*) {
  using S = RepairReply;
  return std::tuple{may("rolled_back", &S::rolled_back), must("volumes", &S::volumes),
                    must("applied", &S::applied), must("done", &S::done)};
}

std::string to_json(const RepairRequest& request) {
  return codec::dump(codec::write(request));
}
std::string to_json(const RepairReply& reply) {
  return codec::dump(codec::write(reply));
}

RepairRequest repair_request_from_json(const std::string& text) {
  RepairRequest request;
  codec::read(codec::parse_object(text), "", request);
  return request;
}
RepairReply repair_reply_from_json(const std::string& text) {
  RepairReply reply;
  codec::read(codec::parse_object(text), "", reply);
  return reply;
}

}  // namespace plexvol::api
