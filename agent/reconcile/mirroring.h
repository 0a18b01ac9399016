// Whether a replica of a mirrored volume can be on this node, and what has to be so for that, kept
// so: the module is loaded, and asks our program.
#pragma once

#include <functional>
#include <string>

#include "agent/drbd/drbd.h"

namespace plexvol::reconcile {

struct MirroringSettings {
  std::function<std::string()> address;  // for replication; answers "" while there is none
  std::string helper;
  std::string helper_memory;  // file: what the module asked before us
  drbd::ModuleFiles module{};
};

// For one thread at a time.
class Mirroring {
 public:
  Mirroring(drbd::Drbd& drbd, MirroringSettings settings);

  // Answers why no such replica can be here, "" when one can. To be called again and again: the
  // module may be loaded anew, and other programs write its parameter, too. Only reads files while
  // all is well; modprobe is run once each time that the module is missed.
  std::string keep();

 private:
  std::string look();

  drbd::Drbd& drbd_;
  MirroringSettings settings_;
  std::string error_;
  bool looked_ = false;
};

}  // namespace plexvol::reconcile
