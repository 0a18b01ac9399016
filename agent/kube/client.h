// The Kubernetes API server, asked by JSON over HTTPS.
//
// All calls may be made from any thread, each is bounded in time, also by an api::CallDeadline that
// is in force. Errors: NotFound (404); AlreadyExists and Conflict (409, by the reason the server
// gives: an object of this name exists; a precondition or resourceVersion does not hold);
// InvalidArgument (400, 422); Unsupported (405, 415: the server does not know such a call);
// Unavailable (no connection, timed out, 429, 5xx: ask again; a write whose answer did not come may
// have been done, and is not repeated here); Internal (401, 403 and all else). A message names the
// verb, the path, the status and the server's own message, on one line.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace plexvol::kube {

struct ClientSettings {
  std::string server;      // https://10.0.0.1:6443, https://[fd00::1]:443; http:// for tests
  std::string ca_file;     // "": the system's own
  std::string token_file;  // read again when it changes; "": none
  std::string user_agent;  // "plexvol-controller/0.1.0"
  std::chrono::milliseconds timeout{15'000};  // of one request, but for watches
  unsigned page_size = 500;                   // objects per page of a list
};

// What a pod is told: KUBERNETES_SERVICE_HOST and _PORT (an IPv6 address gets its brackets), and
// the files below /var/run/secrets/kubernetes.io/serviceaccount. Throws InvalidArgument outside of a
// cluster, saying which variable is missing.
ClientSettings in_cluster_settings();
// Of the pod itself, from the file beside the token; "" outside of a cluster.
std::string in_cluster_namespace();

// A body that says what changes. Strategic: as the kind's fields say; not for custom resources.
enum class PatchKind { Json, Merge, Strategic };

// DELETE only this object: empty members are no condition. Kubernetes before 1.14 checks the uid
// only.
struct Precondition {
  std::string uid;
  std::string resource_version;
};

// All objects of a list, page by page, as of one revision.
struct Listed {
  // JSON text of each, with the list's apiVersion and kind. Here and in watches, what is nested
  // deeper than 64 levels is left out.
  std::vector<std::string> objects;
  std::string resource_version;  // to watch from
};

// One line of a watch.
struct WatchEvent {
  enum class Kind { Added, Modified, Deleted, Bookmark };
  Kind kind = Kind::Added;
  std::string object;  // JSON text
  std::string resource_version;
};

// While it lives, calls that this thread makes throw Unavailable at once when it is stopped; a write
// may have been done nevertheless. They nest: the innermost counts.
class CallStop {
 public:
  explicit CallStop(std::stop_token stop);
  ~CallStop();
  CallStop(const CallStop&) = delete;
  CallStop& operator=(const CallStop&) = delete;

  static std::stop_token in_force();

 private:
  std::stop_token before_;
};

class Client {
 public:
  explicit Client(ClientSettings settings);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Paths begin with /api or /apis, and may have a query. Answers are the object's JSON text.
  std::string get(const std::string& path);
  std::string create(const std::string& path, const std::string& object);
  std::string replace(const std::string& path, const std::string& object);  // PUT
  std::string patch(const std::string& path, PatchKind kind, const std::string& body);
  // Accepted, which for an object with finalizers is not yet gone.
  // `grace_seconds`: that a pod's processes get; 0 removes the object at once. Else the pod's own.
  void remove(const std::string& path, const Precondition& precondition = {},
              std::optional<unsigned> grace_seconds = {});
  // A list that goes on for too long is begun again once when its continue token has expired (410).
  Listed list(const std::string& path);

  // Events after this revision, until the server ends the watch (which it does after 5 to 10
  // minutes, or after `longest`), `stop`, or an error. False: the revision is too old (410, as a
  // status or as an event); list again. Throws as the others; Unavailable when the connection broke,
  // and Internal when a line is no event. What `on_event` throws ends the watch.
  bool watch(const std::string& path, const std::string& resource_version,
             const std::function<void(const WatchEvent&)>& on_event, std::stop_token stop,
             std::chrono::seconds longest = std::chrono::minutes(10));

  // The group versions that the server serves: "v1", "storage.k8s.io/v1". Asked for once, and
  // again after an error.
  bool serves(const std::string& group_version);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace plexvol::kube
