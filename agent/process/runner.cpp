#include "agent/process/runner.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string_view>

#include "agent/api/error.h"
#include "agent/base/text.h"

namespace plexvol::process {

namespace {

constexpr std::string_view kPlainCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_";

std::string quoted(const std::string& argument) {
  if (!argument.empty() && argument.find_first_not_of(kPlainCharacters) == std::string::npos) {
    return argument;
  }
  std::string text = "'";
  for (const char character : argument) {
    if (character == '\'') {
      text += "'\\''";
    } else {
      text += character;
    }
  }
  return text + "'";
}

// Messages are one line: they end up in the status of objects and in JSON for the kubelet.
std::string one_line(const std::string& text) {
  std::string joined;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    const std::size_t last = line.find_last_not_of(" \t\r");
    joined += (joined.empty() ? "" : "; ") + line.substr(first, last - first + 1);
  }
  std::replace_if(
      joined.begin(), joined.end(), [](char c) { return c == '\t' || c == '\r'; }, ' ');
  return joined;
}

}  // namespace

std::string without_secrets(std::string text) {
  static constexpr std::string_view kWord = "shared-secret";
  std::size_t position = 0;
  while ((position = text.find(kWord, position)) != std::string::npos) {
    position = text.find_first_not_of("= \t", position + kWord.size());
    if (position == std::string::npos) break;
    const bool in_quotes = text[position] == '"' || text[position] == '\'';
    const std::size_t first = in_quotes ? position + 1 : position;
    const std::size_t end =
        in_quotes ? text.find(text[position], first) : text.find_first_of(" \t\r\n;'\"", first);
    text.replace(first, end == std::string::npos ? end : end - first, "...");
    position = first;
  }
  return text;
}

std::string to_text(const Command& command) {
  if (command.argv.empty()) return "";
  const std::string& path = command.argv.front();
  std::string text = quoted(base::base_name(path));
  for (std::size_t i = 1; i < command.argv.size(); ++i) text += ' ' + quoted(command.argv[i]);
  return without_secrets(text);
}

std::string said(const Output& output) {
  static constexpr std::size_t kMaxLength = 2000;
  std::string text = one_line(without_secrets(output.err));
  if (text.empty()) text = one_line(without_secrets(output.out));
  if (text.empty()) return "(nothing)";
  if (text.size() > kMaxLength) text = text.substr(0, kMaxLength) + "...";
  return text;
}

Output run_checked(Runner& runner, const Command& command) {
  Output output = runner.run(command);
  if (output.exit_code == 0) return output;
  throw Error(ErrorCode::Internal, fmt::format("{}: exit code {}: {}", to_text(command),
                                               output.exit_code, said(output)));
}

}  // namespace plexvol::process
