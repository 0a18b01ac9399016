#include "flexdriver/reply.h"

#include <unistd.h>

#include <cerrno>

#include <nlohmann/json.hpp>

#include "agent/api/text.h"

namespace plexvol::driver {

namespace {

const char* to_text(Status status) {
  switch (status) {
    case Status::Success:
      return "Success";
    case Status::NotSupported:
      return "Not supported";
    case Status::Failure:
      break;
  }
  return "Failure";
}

}  // namespace

std::string to_json(const Reply& reply) {
  nlohmann::json json{{"status", to_text(reply.status)}};
  if (!reply.message.empty()) json["message"] = one_line(reply.message);
  if (reply.device) json["device"] = *reply.device;
  if (reply.attached) json["attached"] = *reply.attached;
  if (reply.capabilities) {
    json["capabilities"] = {{"attach", reply.capabilities->attach},
                            {"selinuxRelabel", reply.capabilities->selinux_relabel},
                            {"supportsMetrics", reply.capabilities->supports_metrics},
                            {"fsGroup", reply.capabilities->fs_group},
                            {"requiresFSResize", reply.capabilities->requires_fs_resize}};
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

int exit_status(const Reply& reply) {
  return reply.status == Status::Success ? 0 : 1;
}

void print(const Reply& reply) {
  const std::string text = to_json(reply) + '\n';
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    written += static_cast<std::size_t>(count);
  }
}

}  // namespace plexvol::driver
