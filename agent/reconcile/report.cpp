#include "agent/reconcile/report.h"

#include "agent/log.h"
#include "agent/reconcile/observe.h"

namespace plexvol::reconcile {

namespace {

// Not for reporting an error: those that want the device prepared wait for it. Nor is this one of
// theirs.
bool concerns_mount_calls(const Wanted& wanted) {
  return wanted.attached_here() || wanted.volume.deleting || !wanted.volume.concerns(wanted.here);
}

void report_error(const PassResult& result, Shared& shared) {
  const Error& error = *result.error;
  if (error.code() == ErrorCode::Unavailable) {
    log::info(error.what());
  } else {
    log::warn(error.what());
  }
  // Without the volume's record nobody knows whom an error concerns: then only an internal one is
  // reported, to every call that waits.
  const bool is_for_calls = result.loaded ? concerns_mount_calls(result.loaded->wanted)
                                          : error.code() == ErrorCode::Internal;
  if (is_for_calls) shared.tools.calls.report(result.volume, error);
}

// The rest of what is known of the volume, for an empty store.
void record_all(const PassResult& result, Shared& shared) {
  const Wanted& wanted = result.loaded->wanted;
  if (result.effects.forgot_replica || !wanted.contradiction.empty() || !wanted.current) return;
  try {
    shared.tools.arbiter.acted().record(wanted.volume, *wanted.current);
  } catch (const Error& error) {
    log::warn(error.what());
  }
}

void add_resource(model::Status& status, const Seen& seen) {
  if (!seen.resource) return;
  status.role = seen.resource->role;
  status.disk_state = seen.resource->disk_state;
  status.connection = seen.resource->connection;
  status.synced_percent = seen.resource->synced_percent;
  status.out_of_sync_bytes = seen.resource->out_of_sync_bytes;
}

// Of what was not looked at stays what was said before.
model::Status make_status_of_arbitration(const PassResult& result) {
  model::Status status = *result.loaded->status;
  status.ready = false;
  status.error_code = result.error->code();
  status.error = result.error->what();
  add_resource(status, result.seen);
  return status;
}

std::string where_data_is(const Seen& seen) {
  if (!seen.data) return "";
  return seen.data->device.empty() ? seen.data->path : seen.data->device;
}

void write_status(const PassResult& result, Shared& shared) {
  const Loaded& loaded = *result.loaded;
  if (result.only_arbitrated && !loaded.status) return;
  const model::Status status =
      result.only_arbitrated ? make_status_of_arbitration(result) : make_status(result, shared);
  if (loaded.status == status) return;
  shared.tools.store.put_status(shared.settings.here, loaded.wanted.volume, loaded.assigned,
                                status);
}

}  // namespace

model::Status make_status(const PassResult& result, const Shared& shared) {
  const Loaded& loaded = *result.loaded;
  const Seen& seen = result.seen;
  const std::string& note = result.effects.note;
  const auto describe = [&]() -> std::string {
    if (result.error) return result.error->what();
    return note.empty() ? shared.settings.missing_mounts(result.volume) : note;
  };
  model::Status status{
      .session = shared.settings.session,
      .attachment_revision = loaded.wanted.attachment ? loaded.attachment_revision : 0,
      .ready = !result.error && is_ready(loaded.wanted, seen),
      .device = where_data_is(seen),
      .role = {},
      .disk_state = {},
      .connection = {},
      .synced_percent = 100,
      .out_of_sync_bytes = 0,
      .backing_gone = backing_is_gone(loaded.wanted, seen),
      .mounts = seen.mounts,
      .refused_release = seen.refused_release,
      .error_code = result.error ? result.error->code() : ErrorCode::Internal,
      .error = describe(),
      .device_bytes = seen.data ? device_size_bytes(seen.data->device) : 0};
  if (loaded.status) status.unknown = loaded.status->unknown;
  add_resource(status, seen);
  return status;
}

void record_seen(const PassResult& result, Shared& shared) {
  const bool to_be_filled = result.loaded && result.loaded->peer_to_be_filled;
  if (shared.resync_turns.note(result.volume, result.seen.resource, to_be_filled)) {
    shared.settings.resyncs_changed();
  }
  shared.memory.record_mounts(result.volume, result.seen);
}

void wake_former(const PassResult& result, Shared& shared) {
  if (!result.effects.put_back || !result.loaded) return;
  const model::Volume& volume = result.loaded->wanted.volume;
  if (!volume.former.empty()) shared.tools.store.commit(store::Change().wake(volume));
}

std::optional<Error> report(const PassResult& result, Shared& shared) {
  if (result.error) report_error(result, shared);
  if (!result.loaded) return result.error;
  if (!result.only_arbitrated) record_seen(result, shared);
  record_all(result, shared);
  try {
    write_status(result, shared);
    wake_former(result, shared);
  } catch (const Error& error) {
    log::warn(error.what());
    if (!result.error) return error;
  }
  return result.error;
}

}  // namespace plexvol::reconcile
