// What every fuzz target is made of. A target is one file that defines run(); `make fuzz` builds
// each into a program.
#pragma once

#include <cstdlib>
#include <string>

#include "agent/api/error.h"

namespace plexvol::fuzz {

// Reads the bytes as its parser would. May throw Error, which every parser may for what it cannot
// read; any other exception ends the program, and so do the sanitizers.
void run(const std::string& bytes);

// What must hold whatever the bytes are.
inline void expect(bool holds) {
  if (!holds) std::abort();
}

// For several readings of the same bytes: one that is refused does not keep the others from being
// tried.
template <class Read>
void attempt(Read read) {
  try {
    read();
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): refused, as it may be
  }
}

}  // namespace plexvol::fuzz
