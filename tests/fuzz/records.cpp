// What the store holds, as whoever can write to etcd may have left it.
#include "agent/model/codec.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

namespace {

template <class T>
void read(const std::string& bytes) {
  attempt([&] {
    const std::string text = model::to_json(model::from_json<T>(bytes));
    expect(model::to_json(model::from_json<T>(text)) == text);
  });
}

}  // namespace

void run(const std::string& bytes) {
  read<model::Volume>(bytes);
  read<model::Current>(bytes);
  read<model::Attachment>(bytes);
  read<model::Status>(bytes);
  read<model::Node>(bytes);
  read<model::Cordon>(bytes);
  read<model::Schema>(bytes);
  read<model::Machine>(bytes);
}

}  // namespace plexvol::fuzz
