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
volumes::Call to_call(const Request& request, std::string& subject) {
  const milliseconds margin = std::min<milliseconds>(request.timeout / 10, milliseconds(2000));
  return {.deadline = request.received + request.timeout - margin,
          .stop = request.stop,
          .subject = &subject};
}

using Route = std::function<std::string(const Doors&, const Request&, const volumes::Call&)>;

template <class Body>
Body body_of(const Request& request) {
  return api::from_json<Body>(request.body);
}

// The call ends with the connection of the driver that makes it, however that ends.
std::string mount(const Doors& doors, const Request& request, const volumes::Call& call) {
  flexvolume::FlexVolume& flexvolume = doors.flexvolume;
  const auto reply = flexvolume.mount(body_of<api::MountRequest>(request), call);
  request.connection->on_close(
      [&flexvolume, call_id = reply.call_id] { flexvolume.abandon(call_id); });
  return api::to_json(reply);
}

// NOLINTNEXTLINE(readability-function-size): a table
const std::map<std::string, Route>& routes() {
  using volumes::Call;
  static const std::map<std::string, Route> table{
      {api::kAttachPath,
       [](const Doors& d, const Request& r, const Call& c) {
         return api::to_json(d.flexvolume.attach(body_of<api::AttachRequest>(r), c));
       }},
      {api::kWaitForAttachPath,
       [](const Doors& d, const Request& r, const Call& c) {
         return api::to_json(
             d.flexvolume.wait_for_attach(body_of<api::WaitForAttachRequest>(r), c));
       }},
      {api::kExpandPath,
       [](const Doors& d, const Request& r, const Call& c) {
         return api::to_json(d.flexvolume.expand(body_of<api::ExpandRequest>(r), c));
       }},
      {api::kIsAttachedPath,
       [](const Doors& d, const Request& r, const Call&) {
         return api::to_json(d.flexvolume.is_attached(body_of<api::AttachRequest>(r)));
       }},
      {api::kDetachPath,
       [](const Doors& d, const Request& r, const Call& c) {
         d.flexvolume.detach(body_of<api::DetachRequest>(r), c);
         return std::string("{}");
       }},
      {api::kMountPath, mount},
      {api::kMountedPath,
       [](const Doors& d, const Request& r, const Call&) {
         d.flexvolume.mounted(body_of<api::MountedRequest>(r));
         return std::string("{}");
       }},
      {api::kUnmountedPath,
       [](const Doors& d, const Request& r, const Call&) {
         d.flexvolume.unmounted(body_of<api::UnmountedRequest>(r));
         return std::string("{}");
       }},
      {api::kHelperPath,
       [](const Doors& d, const Request& r, const Call&) {
         return api::to_json(d.answer_drbd(body_of<api::HelperRequest>(r)));
       }},
      {api::kVolumeCreatePath,
       [](const Doors& d, const Request& r, const Call& c) {
         return api::to_json(d.commands.create_volume(body_of<api::CreateVolumeRequest>(r), c));
       }},
      {api::kVolumeListPath, [](const Doors& d, const Request&,
                                const Call&) { return api::to_json(d.commands.list_volumes()); }},
      {api::kVolumeShowPath,
       [](const Doors& d, const Request& r, const Call&) {
         return api::to_json(d.commands.show_volume(body_of<api::VolumeNameRequest>(r).name));
       }},
      {api::kVolumeSetPath,
       [](const Doors& d, const Request& r, const Call&) {
         return api::to_json(d.commands.set_volume(body_of<api::SetVolumeRequest>(r)));
       }},
      {api::kVolumeMovePath,
       [](const Doors& d, const Request& r, const Call&) {
         return api::to_json(d.commands.move_volume(body_of<api::MoveVolumeRequest>(r)));
       }},
      {api::kVolumeResizePath,
       [](const Doors& d, const Request& r, const Call& c) {
         return api::to_json(d.commands.resize_volume(body_of<api::ResizeVolumeRequest>(r), c));
       }},
      {api::kVolumeDeletePath,
       [](const Doors& d, const Request& r, const Call& c) {
         const auto name = body_of<api::VolumeNameRequest>(r).name;
         return api::to_json(d.commands.delete_volume(name, c));
       }},
      {api::kFailOverPath,
       [](const Doors& d, const Request& r, const Call&) {
         d.commands.fail_over(body_of<api::FailOverRequest>(r));
         return std::string("{}");
       }},
      {api::kForceCurrentPath,
       [](const Doors& d, const Request& r, const Call&) {
         return api::to_json(d.commands.force_current(body_of<api::ForceCurrentRequest>(r)));
       }},
      {api::kNodeListPath, [](const Doors& d, const Request&,
                              const Call&) { return api::to_json(d.commands.list_nodes()); }},
      {api::kNodeChangePath,
       [](const Doors& d, const Request& r, const Call&) {
         return api::to_json(d.commands.change_node(body_of<api::NodeChange>(r)));
       }},
      {api::kStoreRepairPath,
       [](const Doors& d, const Request& r, const Call&) {
         return api::to_json(d.commands.repair(api::repair_request_from_json(r.body)));
       }},
      {api::kChangesPath,
       [](const Doors& d, const Request& r, const Call& c) {
         return api::to_json(d.commands.await_change(body_of<api::ChangesRequest>(r), c));
       }},
      {api::kDoctorPath,
       [](const Doors& d, const Request&, const Call&) { return api::to_json(d.examine()); }},
      {api::kVersionPath, [](const Doors& d, const Request&,
                             const Call&) { return api::to_json(d.commands.version()); }},
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

Handler make_routes(Doors doors, const process::TraceLog& trace) {
  return [doors = std::move(doors), &trace](const Request& request) {
    const log::LogScope scope("call", request.path);
    const auto route = routes().find(request.path);
    if (route == routes().end()) {
      return to_response(Error(ErrorCode::NotFound, "unknown call " + request.path));
    }
    std::string subject;
    api::Reply reply;
    unsigned status = 200;
    try {
      const volumes::Call call = to_call(request, subject);
      const api::CallDeadline limit(call.deadline);
      reply.result = route->second(doors, request, call);
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
