// plexvol for people: `plexvol volume list`, ... One file for each noun.
#pragma once

#include <string_view>

#include "flexdriver/trace.h"

namespace plexvol::driver {

// A noun, an option (--help), or nothing at all.
bool is_command(std::string_view word);

// Exit status: 0, 1 when it failed (the reason is on stderr), 2 for wrong usage.
int run_command(int argc, char** argv, const Trace& trace);

}  // namespace plexvol::driver
