// Requests and replies between driver and agent.
#include "agent/api/protocol.h"

#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

namespace {

// What was understood once is understood again, and says the same.
template <class T>
void read(const std::string& bytes) {
  attempt([&] {
    const std::string text = api::to_json(api::from_json<T>(bytes));
    expect(api::to_json(api::from_json<T>(text)) == text);
  });
}

}  // namespace

void run(const std::string& bytes) {
  read<api::AttachRequest>(bytes);
  read<api::WaitForAttachRequest>(bytes);
  read<api::DetachRequest>(bytes);
  read<api::MountRequest>(bytes);
  read<api::MountReply>(bytes);
  read<api::MountedRequest>(bytes);
  read<api::HelperRequest>(bytes);
  read<api::CreateVolumeRequest>(bytes);
  read<api::FailOverRequest>(bytes);
  read<api::ForceCurrentRequest>(bytes);
  read<api::ChangesRequest>(bytes);
  read<api::ChangesReply>(bytes);
  read<api::NodeChange>(bytes);
  read<api::VolumeInfo>(bytes);
  read<api::Reply>(bytes);
}

}  // namespace plexvol::fuzz
