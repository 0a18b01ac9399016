// What the spec of a PlexvolVolume asks for. Pure.
//
// spec.copies and spec.size are requests: each is seen to once, when somebody writes it, and
// status.copiesAsked and status.sizeAsked say which were. So what is asked for later by the command line,
// or by a claim, is never taken back.
#pragma once

#include <cstdint>
#include <string>

#include "agent/view/node_status.h"

namespace plexvol::view {

struct VolumeWish {
  unsigned copies = 0;  // 0: nothing is asked for
  std::string size;     // as written; "": nothing

  bool is_empty() const { return copies == 0 && size.empty(); }
};

// Of JSON texts. What is no number, or no text, asks for nothing: the API server refuses it.
VolumeWish find_volume_wish(const std::string& spec, const std::string& status);

// `status`, as volume_status() made it, with what became of the request; `before` as there.
std::string with_answer(const std::string& status, const VolumeWish& wish, const Answer& answer,
                        const std::string& before, std::int64_t now);

}  // namespace plexvol::view
