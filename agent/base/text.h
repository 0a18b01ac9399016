// Text taken apart and put together.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace plexvol::base {

// "a::b:" at ':' is "a", "", "b": what ends with a separator has no empty part behind it.
std::vector<std::string> split(std::string_view text, char separator);
// "a::b:" at ':' is "a", "b".
std::vector<std::string> split_filled(std::string_view text, char separator);

// What stands behind the last slash.
std::string base_name(std::string_view path);

// Is it one of these words, with a blank between any two?
bool contains_word(std::string_view words, std::string_view word);

std::string join(const std::vector<std::string>& parts, std::string_view separator = ", ");

}  // namespace plexvol::base
