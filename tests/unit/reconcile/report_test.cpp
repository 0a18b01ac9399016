#include "agent/reconcile/report.h"

#include <doctest/doctest.h>

#include <chrono>

#include "tests/unit/reconcile/part_of_pass.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)
namespace keys = store::keys;

namespace {

// A pass whose end is to be told.
struct Ended : PartOfPass {
  Ended() {
    loaded = Loader(shared, name).load(std::nullopt);
    seen = cases::seen_mirrored("Secondary");
  }
  PassResult result() {
    return {.volume = name,
            .loaded = loaded,
            .seen = seen,
            .effects = effects,
            .only_arbitrated = only_arbitrated,
            .error = error};
  }
  std::optional<Error> tell() { return report(result(), shared); }
  std::optional<model::Status> told() { return store.find_status("n1", "v"); }

  std::optional<Loaded> loaded;
  Seen seen;
  Effects effects;
  bool only_arbitrated = false;
  std::optional<Error> error;
};

}  // namespace

TEST_CASE("report: a status says what was seen, and why the pass failed") {
  Ended pass;
  CHECK_FALSE(pass.tell());
  CHECK(pass.told()->session == "session");
  CHECK(pass.told()->role == "Secondary");
  CHECK(pass.told()->error.empty());
  pass.error = Error(ErrorCode::Conflict, "the copy is gone");
  CHECK(pass.tell()->code() == ErrorCode::Conflict);
  CHECK(pass.told()->error == "the copy is gone");
  CHECK(pass.told()->error_code == ErrorCode::Conflict);
  CHECK_FALSE(pass.told()->ready);
}

TEST_CASE("report: where the data is, also of an image that has no device yet") {
  Ended pass;
  pass.seen.data = cases::backing("/dev/loop4");
  pass.tell();
  CHECK(pass.told()->device == "/dev/loop4");
  pass.seen.data->path = "/images/v.img";
  pass.seen.data->device = "";
  pass.tell();
  CHECK(pass.told()->device == "/images/v.img");
}

TEST_CASE("report: a note is told, and what is missing only where there is none") {
  Ended pass;
  pass.shared.settings.missing_mounts = [](const std::string&) { return "/var/lib/kubelet"; };
  pass.tell();
  CHECK(pass.told()->error == "/var/lib/kubelet");
  pass.effects.note = "no node can take a second copy";
  pass.tell();
  CHECK(pass.told()->error == "no node can take a second copy");
}

TEST_CASE("report: what was told already is not written again") {
  Ended pass;
  pass.tell();
  pass.loaded = Loader(pass.shared, pass.name).load(std::nullopt);
  const int before = pass.raw.requests;
  pass.tell();
  CHECK(pass.raw.requests == before);
}

TEST_CASE("report: of what was not looked at stays what was said before") {
  Ended pass;
  pass.only_arbitrated = true;
  pass.error = Error(ErrorCode::Unavailable, "fsck is running");
  pass.tell();
  CHECK_FALSE(pass.told());  // nothing was ever said
  model::Status said;
  said.ready = true;
  said.mounts = {"/mnt"};
  said.device = "/dev/vg/v";
  pass.loaded->status = said;
  pass.seen.data.reset();
  pass.tell();
  CHECK(pass.told()->mounts == said.mounts);
  CHECK(pass.told()->device == "/dev/vg/v");
  CHECK(pass.told()->role == "Secondary");
  CHECK(pass.told()->error == "fsck is running");
  CHECK_FALSE(pass.told()->ready);
}

TEST_CASE("report: calls that wait hear of errors that concern them") {
  Ended pass;
  const std::string call = pass.calls.begin("v");
  const auto heard = [&]() -> std::string {
    try {
      pass.calls.wait(call, std::chrono::steady_clock::now());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  pass.error = Error(ErrorCode::Conflict, "the copy is gone");
  pass.tell();
  CHECK(heard().find("the copy is gone") == std::string::npos);  // the volume is not attached here
  // Without the volume's record only an internal error is told to those who wait.
  pass.loaded.reset();
  pass.tell();
  CHECK(heard().find("the copy is gone") == std::string::npos);
  pass.error = Error(ErrorCode::Internal, "etcd sent what cannot be read");
  pass.tell();
  CHECK(heard().find("etcd sent what cannot be read") != std::string::npos);
}

TEST_CASE("report: who put its peer back wakes the node of a former copy") {
  Ended pass;
  pass.loaded->wanted.volume.former = {"n3"};
  pass.tell();
  CHECK_FALSE(pass.raw.get(keys::assigned("n3", "v")));
  pass.effects.put_back = true;
  pass.tell();
  CHECK(pass.raw.get(keys::assigned("n3", "v")));
}
