// A cluster of so many nodes that has come to rest: what its store holds, and what each node would
// see of its own volumes. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/drbd/drbd.h"
#include "agent/model/model.h"

namespace plexvol::scale {

inline constexpr const char* kPool = "default";
inline constexpr const char* kVolumeGroup = "vg0";
inline constexpr const char* kDrbdVersion = "8.4.11";
// A node has 100 copies in any cluster: of 70 volumes alone, of 15 with each neighbour in turn on
// either side. Not more mirrored ones, since a cluster of 1,000 nodes has 16,384 DRBD minors.
inline constexpr unsigned kAlone = 70;
inline constexpr unsigned kMirrored = 15;
// So many neighbours on either side, that a node has as many peers in a small cluster as in a large
// one.
inline constexpr unsigned kNeighbours = 3;

class Landscape {
 public:
  // More than twice kNeighbours.
  explicit Landscape(unsigned nodes) : nodes_(nodes) {}

  unsigned nodes() const { return nodes_; }
  // Those whose first copy is on the node: all nodes' together are all volumes.
  std::vector<model::Volume> begun_on(unsigned node) const;
  // Those with a copy on the node.
  std::vector<model::Volume> volumes_of(unsigned node) const;

 private:
  model::Volume make_alone(unsigned node, unsigned place) const;
  model::Volume make_mirrored(unsigned node, unsigned place) const;

  unsigned nodes_;
};

std::string node_name(unsigned node);
std::string session(const std::string& node);
model::Node node_entry(const std::string& node);
model::Current current_of(const model::Volume& volume);
model::Status status_of(const model::Volume& volume, const std::string& node);

std::string device_of(const std::string& logical_volume);
std::string metadata_of(const model::Volume& volume);
// As the agent of `node` has configured it.
drbd::Resource resource_of(const model::Volume& volume, const std::string& node);
// What `drbdsetup events2 --now` prints for a resource that is connected and UpToDate.
std::string events_of(const model::Volume& volume);

}  // namespace plexvol::scale
