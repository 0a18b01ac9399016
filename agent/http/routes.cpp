#include "agent/http/routes.h"

#include <algorithm>
#include <map>

#include "agent/api/call_deadline.h"
#include "agent/log.h"

namespace plexvol::http {

namespace {

using std::chrono::milliseconds;

// The answer has to be on its way before the caller's own time is over, or nobody hears what was
// waited for.
service::Call to_call(const Request& request, std::string& subject) {
  const milliseconds margin = std::min<milliseconds>(request.timeout / 10, milliseconds(2000));
  return {.deadline = request.received + request.timeout - margin,
          .stop = request.stop,
          .subject = &subject};
}

using Route = std::function<std::string(service::Service&, const Request&, const service::Call&)>;

template <class Body>
Body body_of(const Request& request) {
  return api::from_json<Body>(request.body);
}

// The call ends with the connection of the driver that makes it, however that ends.
std::string mount(service::Service& service, const Request& request, const service::Call& call) {
  const auto reply = service.mount(body_of<api::MountRequest>(request), call);
  request.connection->on_close([&service, call_id = reply.call_id] { service.abandon(call_id); });
  return api::to_json(reply);
}

// NOLINTNEXTLINE(readability-function-size): a table
const std::map<std::string, Route>& routes() {
  using service::Call;
  using service::Service;
  static const std::map<std::string, Route> table{
      {api::kAttachPath,
       [](Service& s, const Request& r, const Call& c) {
         return api::to_json(s.attach(body_of<api::AttachRequest>(r), c));
       }},
      {api::kWaitForAttachPath,
       [](Service& s, const Request& r, const Call& c) {
         return api::to_json(s.wait_for_attach(body_of<api::WaitForAttachRequest>(r), c));
       }},
      {api::kIsAttachedPath,
       [](Service& s, const Request& r, const Call&) {
         return api::to_json(s.is_attached(body_of<api::AttachRequest>(r)));
       }},
      {api::kDetachPath,
       [](Service& s, const Request& r, const Call& c) {
         s.detach(body_of<api::DetachRequest>(r), c);
         return std::string("{}");
       }},
      {api::kMountPath, mount},
      {api::kMountedPath,
       [](Service& s, const Request& r, const Call&) {
         s.mounted(body_of<api::MountedRequest>(r));
         return std::string("{}");
       }},
      {api::kUnmountedPath,
       [](Service& s, const Request& r, const Call&) {
         s.unmounted(body_of<api::UnmountedRequest>(r));
         return std::string("{}");
       }},
      {api::kHelperPath,
       [](Service& s, const Request& r, const Call&) {
         return api::to_json(s.helper(body_of<api::HelperRequest>(r)));
       }},
      {api::kVolumeCreatePath,
       [](Service& s, const Request& r, const Call& c) {
         return api::to_json(s.create_volume(body_of<api::CreateVolumeRequest>(r), c));
       }},
      {api::kVolumeListPath,
       [](Service& s, const Request&, const Call&) { return api::to_json(s.list_volumes()); }},
      {api::kVolumeShowPath,
       [](Service& s, const Request& r, const Call&) {
         return api::to_json(s.show_volume(body_of<api::VolumeNameRequest>(r).name));
       }},
      {api::kVolumeSetPath,
       [](Service& s, const Request& r, const Call&) {
         return api::to_json(s.set_volume(body_of<api::SetVolumeRequest>(r)));
       }},
      {api::kVolumeDeletePath,
       [](Service& s, const Request& r, const Call& c) {
         const auto name = body_of<api::VolumeNameRequest>(r).name;
         return api::to_json(s.delete_volume(name, c));
       }},
      {api::kForceCurrentPath,
       [](Service& s, const Request& r, const Call&) {
         return api::to_json(s.force_current(body_of<api::ForceCurrentRequest>(r)));
       }},
      {api::kNodeListPath,
       [](Service& s, const Request&, const Call&) { return api::to_json(s.list_nodes()); }},
      {api::kNodeChangePath,
       [](Service& s, const Request& r, const Call&) {
         return api::to_json(s.change_node(body_of<api::NodeChange>(r)));
       }},
      {api::kStoreRepairPath,
       [](Service& s, const Request& r, const Call&) {
         return api::to_json(s.repair(api::repair_request_from_json(r.body)));
       }},
      {api::kVersionPath,
       [](Service& s, const Request&, const Call&) { return api::to_json(s.version()); }},
  };
  return table;
}

// What the agent's tools did for this volume while the call was waiting. Other calls for the same
// volume at the same moment show up as well: they did the same work.
std::vector<api::TraceStep> steps_of(const Request& request, const std::string& subject,
                                     const process::TraceLog& trace) {
  std::vector<api::TraceStep> steps;
  if (!request.trace) return steps;
  for (const auto& step : trace.steps_since(subject, request.received)) {
    steps.push_back({.what = step.text, .took = step.took, .exit_code = step.exit_code});
  }
  return steps;
}

}  // namespace

Handler make_routes(service::Service& service, const process::TraceLog& trace,
                    std::function<std::vector<api::Finding>()> examine) {
  std::map<std::string, Route> table = routes();
  table[api::kDoctorPath] = [examine = std::move(examine)](service::Service&, const Request&,
                                                           const service::Call&) {
    return api::to_json(examine());
  };
  return [&service, &trace, table = std::move(table)](const Request& request) {
    const log::LogScope scope("call", request.path);
    const auto route = table.find(request.path);
    if (route == table.end()) {
      return to_response(Error(ErrorCode::NotFound, "unknown call " + request.path));
    }
    std::string subject;
    api::Reply reply;
    unsigned status = 200;
    try {
      const service::Call call = to_call(request, subject);
      const api::CallDeadline limit(call.deadline);
      reply.result = route->second(service, request, call);
      reply.ok = true;
    } catch (const Error& error) {
      reply.error = {.code = error.code(), .message = error.what()};
      status = api::http_status(error.code());
      log::info(std::string("refused: ") + error.what());
    }
    reply.trace = steps_of(request, subject, trace);
    return Response{.status = status, .body = api::to_json(reply)};
  };
}

}  // namespace plexvol::http
