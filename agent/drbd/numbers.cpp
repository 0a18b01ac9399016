// Which minors and ports others than us use: no volume of ours must be given one of them.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "agent/drbd/config_file.h"
#include "agent/drbd/config_text.h"
#include "agent/drbd/drbd.h"

namespace plexvol::drbd {

namespace {

template <class Number>
void add_number(std::string_view text, std::set<Number>& found) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end != text.data()) found.insert(number);
}

// The text of each `key ...;`, without the key.
template <class Handler>
void for_each_statement(std::string_view text, std::string_view key, const Handler& handle) {
  for (std::size_t at = 0; (at = text.find(key, at)) != std::string_view::npos;) {
    at += key.size();
    const std::size_t end = text.find_first_of(";\n{}", at);
    if (end != std::string_view::npos && text[end] == ';') handle(text.substr(at, end - at));
  }
}

}  // namespace

Numbers parse_numbers(const std::string& text) {
  Numbers numbers;
  const auto skip_blanks = [](std::string_view value) {
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    return value;
  };
  for_each_statement(text, "minor", [&](std::string_view value) {
    add_number(skip_blanks(value), numbers.minors);
  });
  for_each_statement(text, "address", [&](std::string_view value) {
    const std::size_t colon = value.rfind(':');
    if (colon != std::string_view::npos) add_number(value.substr(colon + 1), numbers.ports);
  });
  return numbers;
}

Numbers Drbd::list_others_numbers() {
  Numbers others;
  const auto add = [&](const process::Output& output) {
    // The text holds secrets, and what cannot be read says nothing.
    if (output.exit_code == 0) {
      Numbers found = parse_numbers(output.out);
      others.minors.merge(found.minors);
      others.ports.merge(found.ports);
    }
  };
  for (const auto& [name, state] : list_resources()) {
    const auto config = read_file(config_path(settings_, name));
    const auto ours = config ? find_minor(*config) : std::nullopt;
    if (ours && (state.disk_state.empty() || *ours == state.minor)) continue;
    if (!state.disk_state.empty()) others.minors.insert(state.minor);
    add(runner_.run({.argv = {"/usr/sbin/drbdsetup", "show", name}, .input = {}}));
  }
  if (::access(settings_.others_config.c_str(), R_OK) == 0) {
    add(runner_.run(
        {.argv = {"/usr/sbin/drbdadm", "-c", settings_.others_config, "dump"}, .input = {}}));
  }
  return others;
}

}  // namespace plexvol::drbd
