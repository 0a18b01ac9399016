// Random identifiers, from the kernel's generator.
#pragma once

#include <cstddef>
#include <string>

namespace plexvol {

std::string random_hex(std::size_t digits);
std::string random_uuid();  // version 4, lower case

}  // namespace plexvol
