// DRBD's command line, in its own words. Knows nothing of Plexvol's volumes: a resource is two
// hosts, each with a data device and a metadata device (external), and has exactly one DRBD volume,
// number 0. Facts and measurements behind this: README.md beside it, drbd.conf(5), drbdsetup(8).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/drbd/generation.h"
#include "agent/process/runner.h"

namespace plexvol::drbd {

struct Host {
  std::string node;     // a Kubernetes node name
  std::string address;  // IPv4 or IPv6
  std::uint16_t port = 0;
  unsigned number = 0;  // DRBD 9's node-id, kept in its metadata: 0 and 1
};

struct Resource {
  std::string name;
  unsigned minor = 0;
  std::string secret;       // random, new for every volume ever made (DRBD trap 11); never logged
  std::string data_device;  // of this host
  std::string metadata_device;  // of this host
  Host here;
  Host peer;
};

// What the kernel says of one resource. Words are DRBD's own, as events2 prints them.
struct ResourceState {
  std::string role;       // Primary, Secondary
  std::string suspended;  // "no", "fencing", "user", ...
  unsigned minor = 0;
  std::string disk_state;       // UpToDate, Consistent, Outdated, Inconsistent, Diskless, ...
  unsigned peer_number = 0;     // DRBD 9's node-id
  std::string connection;       // Connected, Connecting (WFConnection), StandAlone, ...
  std::string peer_role;        // Primary, Secondary, Unknown
  std::string peer_disk_state;  // DUnknown when not connected
  std::string replication;      // Established, SyncSource, SyncTarget, Off, ...
  // "no", or who holds a resync back: "user", "peer", "user,peer", ...
  std::string resync_suspended;
  double synced_percent = 100;  // of the whole device; below 100 while a resync runs or waits
  std::uint64_t out_of_sync_bytes = 0;
  // Nothing was ever read, written, sent or received: it has only just been made, and can have
  // missed no write.
  bool untouched = false;
};

// The maximum rate of one resync, where nothing better is known.
inline constexpr unsigned kResyncRateMib = 100;

// Pure.
// The whole file.
std::string to_config(const Resource& resource, Generation generation = Generation::Eight,
                      unsigned resync_rate_mib = kResyncRateMib);
// From `drbdsetup events2 --now --statistics`; tolerant of unknown words and lines. Throws Internal
// when a needed word or the end mark is missing.
std::map<std::string, ResourceState> parse_events2(const std::string& text);

// Where the kernel shows the module; elsewhere only in tests.
struct ModuleFiles {
  std::string directory = "/sys/module/drbd";
  std::string proc = "/proc/drbd";
};

// The program that the kernel runs when it has a question ("fence-peer"), for all resources of this
// host: the module's parameter. It must answer 0 to every event it does not know. Unsupported when
// the module is not loaded or does not have the parameter; set: InvalidArgument when the path is
// relative, too long for the kernel or no executable file.
std::string usermode_helper(const ModuleFiles& module = {});
void set_usermode_helper(const std::string& path, const ModuleFiles& module = {});
// The same, and keeps in the file `memory` what was there before us, which it answers.
std::string take_usermode_helper(const std::string& path, const std::string& memory,
                                 const ModuleFiles& module = {});
// Puts that back, provided that the module is loaded and still has our `path`. Answers what was put
// back, "" when there was nothing to do. Resources of ours that are still up get no answers then: a
// primary that loses its peer stays frozen.
std::string give_usermode_helper_back(const std::string& path, const std::string& memory,
                                      const ModuleFiles& module = {});

// What resources occupy on this host.
struct Numbers {
  std::set<unsigned> minors;
  std::set<std::uint16_t> ports;
};
// Of a configuration as `drbdadm dump` and `drbdsetup show` print it; pure.
Numbers parse_numbers(const std::string& text);

struct Settings {
  // Ours alone: one <name>.res per resource. Nothing in /etc/drbd.d is read or written.
  std::string config_directory;
  ModuleFiles module{};
  bool try_nine = false;                         // see generation.h
  unsigned resync_rate_mib = kResyncRateMib;     // per second, at most, for each resource
  std::string others_config = "/etc/drbd.conf";  // of DRBD's own tools, and LINSTOR's
};

class Drbd {
 public:
  Drbd(process::Runner& runner, Settings settings);

  // Of the loaded module ("8.4.11"), "" when it is not loaded. Reads /sys/module/drbd/version or
  // /proc/drbd.
  std::string module_version() const;
  // Loads the module when it is not (modprobe). Throws Unsupported with the reason when that does
  // not help.
  void load_module();

  std::optional<ResourceState> find_resource(const std::string& name);
  std::map<std::string, ResourceState> list_resources();

  // Configuration: rendered whole, compared, written beside and renamed (mode 0600: it holds the
  // secret). Current only once `adjust` has told the kernel, too: else a kernel that is still
  // connected to a former peer could be taken for one that is connected to the new.
  bool config_is_current(const Resource& resource) const;
  // Of that, only who is connected: its addresses and its secret.
  bool connection_is_current(const Resource& resource) const;
  // The kernel was told all of the configuration but how fast to resynchronise. `adjust` changes
  // that while the two stay connected and attached.
  bool only_resync_options_differ(const Resource& resource) const;
  void write_config(const Resource& resource);
  void remove_config(const std::string& name);       // no error when there is none
  std::vector<std::string> list_configured() const;  // the names of all resources that have one
  // There is one, and it is of this very volume, not of one that had the same name before.
  bool has_config_of(const std::string& name, const std::string& secret) const;
  bool has_config(const std::string& name) const;  // of whatever volume
  // Whether the kernel's resource of this name is the one with this minor and this secret, and not
  // somebody else's, or that of an older volume of the name. Known from our own configuration;
  // where there is none, the kernel itself is asked for the secret.
  bool is_own(const std::string& name, const ResourceState& state, unsigned minor,
              const std::string& secret);

  // Of all resources but ours: those that the kernel has, and those that DRBD's own configuration
  // on this host would bring up.
  Numbers list_others_numbers();

  // Metadata, offline; needs no peer. Internal when the tool's answer is neither "none" nor some
  // (never guessed).

  // For a volume that is new: makes metadata that says consistent, up to date and clean, with this
  // current UUID (16 hex digits, the same on both hosts; the lowest bit is DRBD's own and is
  // cleared), so that the two connect UpToDate with nothing to copy. The caller guarantees that
  // both data devices are new and read alike. May be called again after a kill at any point.
  // Conflict, and nothing is changed, when the device holds metadata that says anything else;
  // InvalidArgument when the metadata device is too small; Internal when it holds a file system.
  void create_metadata(const Resource& resource, const std::string& current_uuid);
  // For a replica that is to be filled by its peer: metadata that says Inconsistent. The same
  // rules.
  void create_blank_metadata(const Resource& resource);

  // Brings the kernel to what the configuration file says: device, disk, network. Needs
  // write_config before. Does not wait for the peer. It also connects what `disconnect`, or DRBD
  // itself, left StandAlone, and attaches what is Diskless.
  void adjust(const std::string& name);
  // Each of these: Conflict with the kernel's words when it refuses, Unavailable when it only asks
  // to be asked again. `seen` is how the resource was found a moment ago; where that is over, the
  // kernel refuses, or has nothing to do.
  void promote(const std::string& name, const ResourceState& seen);  // to primary
  void demote(const std::string& name,
              const ResourceState& seen);  // to secondary; Conflict while it is open
  void down(const std::string& name);      // of a resource that was seen a moment ago
  // By force, as if the cable had been cut: a Primary freezes and asks. In peace it would mark its
  // peer Outdated, and a Secondary itself, and the Primary would go on without asking anyone.
  // No error when there is nothing to do or nothing there.
  void disconnect(const std::string& name);

  // For a copy that a person has chosen although it may be old or half overwritten: it counts as
  // UpToDate from then on.
  void promote_by_force(const std::string& name);

  // The way out of a frozen Primary that must not go on (DRBD trap 1): gives the disk up at once,
  // whatever is under way on it, then thaws. What was on this disk already and only waited for the
  // peer ends as a success, all else as an error: so whoever could be told must have been killed
  // before.
  void give_up_disk(const std::string& name);
  // Of a Primary, connected, with a peer whose disk is as large: its device takes the size of the
  // smaller disk, and what is new on both is not resynchronised. It never becomes smaller.
  void take_new_size(const std::string& name);
  // Holds a resync back on this side, and lets it go on. No error when it is so already, or there
  // is none.
  void pause_resync(const std::string& name);
  void resume_resync(const std::string& name);
  // Ends a freeze. The caller must have made sure that no peer can go on with other data.
  void resume_io(const std::string& name);
  // As adjust, for a StandAlone Secondary whose data is known to be the worthless one of two: where
  // the two disagree about the past, what only this side has is thrown away.
  void reconnect_discarding(const std::string& name);

 private:
  // Throws Unsupported for one that is not to be used here.
  Generation generation() const;
  std::string wanted_config(const Resource& resource) const;

  process::Runner& runner_;
  Settings settings_;
};

// Runs `drbdsetup events2` for as long as it lives and calls the handler with the name of every
// resource that something happened to, and with "" after each (re)start of the stream: anything may
// have changed. A hint to look, never the truth. The handler is called from one thread of the
// watch's own and must not throw.
class EventWatch {
 public:
  // What is run, and the file without which there is no use in running it (drbdsetup would load the
  // module by itself).
  struct Tool {
    std::vector<std::string> argv{"/usr/sbin/drbdsetup", "events2"};
    std::string needs = "/proc/drbd";
  };

  explicit EventWatch(std::function<void(const std::string& resource)> on_event);
  EventWatch(std::function<void(const std::string& resource)> on_event, Tool tool);
  ~EventWatch();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace plexvol::drbd
