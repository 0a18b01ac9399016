// Situations for the tests of the plan: a volume of one or two copies as the store has it, and a
// node on which all is well.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "agent/filesystem/find_use.h"
#include "agent/filesystem/probe.h"
#include "agent/reconcile/planner.h"

namespace plexvol::reconcile::cases {

inline constexpr const char* kId = "6f1c1c1e-0000-4000-8000-000000000001";

inline Wanted single() {
  Wanted wanted;
  wanted.here = "n1";
  wanted.volume.name = "v";
  wanted.volume.id = kId;
  wanted.volume.pool = "p";
  wanted.volume.fs_type = "ext4";
  wanted.volume.replicas = {{"n1", true}};
  wanted.volume.format = model::Format::Done;
  wanted.current = model::Current{1, {"n1"}, {}, {}};
  return wanted;
}

inline Wanted mirrored() {
  Wanted wanted = single();
  wanted.volume.minor = 1000;
  wanted.volume.replicas = {{"n1", true}, {"n2", true}};
  wanted.current = model::Current{1, {"n1", "n2"}, {}, {}};
  return wanted;
}

inline Wanted attached(Wanted wanted, const std::string& node, model::Holder holder) {
  wanted.attachment = model::Attachment{node, 0, holder, {"pv"}, {}, {}};
  return wanted;
}

inline Wanted attached(Wanted wanted) {
  return attached(std::move(wanted), "n1", model::Holder::Attach);
}

inline Backing backing(const std::string& device) {
  return {.path = device, .device = device, .active = true, .ours = true, .making = false};
}

inline Seen seen_single() {
  Seen seen;
  seen.data = backing("/dev/vg/v");
  seen.device = Device{"/dev/vg/v", 253, 1};
  return seen;
}

inline Seen seen_mirrored(const std::string& role = "Secondary",
                          const std::string& connection = "Connected") {
  Seen seen = seen_single();
  seen.metadata = backing("/dev/vg/v.meta");
  seen.config_current = true;
  seen.device = Device{"/dev/drbd1000", 147, 1000};
  const bool connected = connection == "Connected";
  seen.resource = drbd::ResourceState{.role = role,
                                      .suspended = "no",
                                      .minor = 1000,
                                      .disk_state = "UpToDate",
                                      .connection = connection,
                                      .peer_role = connected ? "Secondary" : "Unknown",
                                      .peer_disk_state = connected ? "UpToDate" : "DUnknown",
                                      .replication = connected ? "Established" : "Off",
                                      .resync_suspended = "no",
                                      .synced_percent = 100,
                                      .out_of_sync_bytes = 0};
  return seen;
}

inline filesystem::Probe content(filesystem::Content kind, const std::string& type = "",
                                 const std::string& uuid = "") {
  return {.content = kind, .type = type, .uuid = uuid, .detail = type.empty() ? "data" : type};
}

inline const filesystem::Probe kEmpty = content(filesystem::Content::Empty);
inline const filesystem::Probe kOwnExt4 = content(filesystem::Content::Known, "ext4", kId);
inline const filesystem::User kPostgres{.pid = 12, .command = "postgres", .what = "has /data open"};

// As arbitration sees it: of backing devices those that DRBD has open.
inline Seen without_lvm(Seen seen) {
  if (has_disk(seen) && seen.data && seen.metadata) return seen;
  seen.data.reset();
  seen.metadata.reset();
  seen.config_current = seen.connection_current = false;
  seen.backing_error = Error(ErrorCode::Unavailable, "not looked at");
  return seen;
}

// One action a line; reasons are cut off after the error's code, their wording is checked where it
// matters.
inline std::string kinds(const Wanted& wanted, const Seen& seen) {
  std::string text;
  for (const Action& action : plan(wanted, seen)) {
    std::string line = to_text(action);
    if (is<actions::Fail, actions::RefuseRelease>(action)) {
      line = line.substr(0, line.find(':'));
    }
    text += (text.empty() ? "" : ", ") + line;
  }
  return text;
}

inline std::string reason(const Wanted& wanted, const Seen& seen) {
  const auto planned = plan(wanted, seen);
  if (planned.empty()) return "";
  const std::string text = to_text(planned.back());
  const std::size_t detail = text.find(": ");
  return detail == std::string::npos ? "" : text.substr(detail + 2);
}

}  // namespace plexvol::reconcile::cases
