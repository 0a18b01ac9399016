#include "agent/volumes/changes.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdint>
#include <utility>

#include "agent/api/error.h"
#include "agent/api/random.h"
#include "agent/store/keys.h"

namespace plexvol::volumes {

namespace {

using std::chrono::steady_clock;
namespace keys = store::keys;

// One watch of everything costs etcd less than one for each prefix; the other keys change about as
// often as these.
constexpr const char* kAll = "";

bool is_told(const std::string& key) {
  static const std::array prefixes{
      keys::volume(""), keys::current_prefix(), keys::attachment(""), keys::status_prefix(),
      keys::alive(""),  keys::node(""),         keys::cordon_prefix()};
  return key == kAll || std::any_of(prefixes.begin(), prefixes.end(),
                                    [&](const auto& prefix) { return key.starts_with(prefix); });
}

}  // namespace

// The life of one watch.
struct Changes::Session {
  const std::string id = random_hex(16);
  std::mutex mutex;  // of all below
  std::condition_variable_any changed;
  std::condition_variable_any left;
  std::uint64_t changes = 0;
  unsigned callers = 0;
  steady_clock::time_point last_call;
  bool ended = false;

  // REQUIRES: mutex is held.
  std::string token() const { return id + '-' + std::to_string(changes); }

  void tell() {
    const std::lock_guard lock(mutex);
    ++changes;
    changed.notify_all();
  }
};

Changes::Changes(store::Store& store, std::chrono::milliseconds linger)
    : store_(store), linger_(linger) {}

std::shared_ptr<Changes::Session> Changes::join() {
  const std::lock_guard lock(mutex_);
  if (session_) {
    const std::lock_guard session_lock(session_->mutex);
    if (!session_->ended) {
      ++session_->callers;
      return session_;
    }
  }
  auto session = std::make_shared<Session>();
  session->callers = 1;
  auto watch = store_.watch(kAll, [session](const std::string& key) {
    if (is_told(key)) session->tell();
  });
  // Joins the former keeper, which has ended its session and needs no lock any more.
  keeper_ = std::jthread(
      [session, linger = linger_](const std::stop_token& stop, std::unique_ptr<store::Watch> kept) {
        keep(*session, linger, stop);
        kept.reset();
      },
      std::move(watch));
  session_ = session;
  return session;
}

void Changes::leave(Session& session) {
  const std::lock_guard lock(session.mutex);
  --session.callers;
  session.last_call = steady_clock::now();
  session.left.notify_all();
}

// Returns once there has been no caller for `linger`.
void Changes::keep(Session& session, std::chrono::milliseconds linger,
                   const std::stop_token& stop) {
  std::unique_lock lock(session.mutex);
  while (!stop.stop_requested()) {
    if (session.callers > 0) {
      session.left.wait(lock, stop, [&] { return session.callers == 0; });
      continue;
    }
    const auto until = session.last_call + linger;
    if (steady_clock::now() >= until) break;
    session.left.wait_until(lock, stop, until, [&] { return session.last_call + linger > until; });
  }
  session.ended = true;
}

std::string Changes::await(const std::string& since, const Call& call) {
  const std::shared_ptr<Session> session = join();
  const std::unique_ptr<Session, void (*)(Session*)> caller(session.get(),
                                                            [](Session* left) { leave(*left); });
  std::unique_lock lock(session->mutex);
  const bool is_new = session->changed.wait_until(lock, call.stop, call.deadline,
                                                  [&] { return session->token() != since; });
  if (!is_new && call.stop.stop_requested()) {
    throw Error(ErrorCode::Unavailable,
                "cancelled (caller disconnected or agent shutting down) while waiting for a change "
                "in the store");
  }
  return session->token();
}

}  // namespace plexvol::volumes
