#include "agent/drbd/refusal.h"

#include <fmt/core.h>

#include <array>
#include <cstdlib>
#include <string_view>

namespace plexvol::drbd {
namespace {

struct Known {
  int number;
  ErrorCode code;
  const char* advice;
};

constexpr std::array kKnown{
    Known{-1, ErrorCode::Conflict,
          "the peer is primary: release the volume there first (pod still running on that node?)"},
    Known{-2, ErrorCode::Conflict,
          "no replica is known to be up to date: this node's replica is still resyncing, is "
          "outdated, or may be outdated because the fence handler did not confirm that the peer is "
          "out of use; wait for the resync to end, or bring the peer back"},
    Known{-7, ErrorCode::Conflict,
          "the peer is not connected, and the fence handler did not confirm that it is out of use: "
          "bring the peer or the link back"},
    Known{-10, ErrorCode::Conflict, "the peer refused it: see the same volume on the peer's node"},
    Known{-11, ErrorCode::Conflict, "this node has no disk under the volume: see its kernel log"},
    Known{-12, ErrorCode::Conflict, "the device is still mounted or open on this node"},
    Known{-18, ErrorCode::Unavailable, "another change is in progress"},
    Known{-19, ErrorCode::Unavailable, "another change is in progress"},
    Known{-21, ErrorCode::Unavailable, "another change is in progress"},
    Known{102, ErrorCode::Conflict, "the local address and port are used by another resource"},
    Known{103, ErrorCode::Conflict, "the peer's address and port are used by another resource"},
    Known{104, ErrorCode::Conflict, "the data device is missing, or something else has it open"},
    Known{105, ErrorCode::Conflict,
          "the metadata device is missing, or something else has it open"},
    Known{114, ErrorCode::Conflict, "the data device itself is mounted or in use"},
    Known{115, ErrorCode::Conflict, "the metadata device is in use by something else"},
};

constexpr std::string_view kSecretOption = "--shared-secret=";

void hide_secrets(std::string& text) {
  std::size_t at = 0;
  while ((at = text.find(kSecretOption, at)) != std::string::npos) {
    at += kSecretOption.size();
    const std::size_t end = std::min(text.find_first_of(" \t\n'", at), text.size());
    text.replace(at, end - at, "(hidden)");
  }
}

}  // namespace

std::optional<KernelAnswer> parse_kernel_answer(const std::string& text) {
  for (std::size_t at = text.find(": ("); at != std::string::npos; at = text.find(": (", at + 1)) {
    const char* begin = text.c_str() + at + 3;
    char* end = nullptr;
    const long number = std::strtol(begin, &end, 10);
    if (end == begin || *end != ')') continue;
    std::string words(end + 1);
    words.resize(std::min(words.find('\n'), words.size()));
    words.erase(0, std::min(words.find_first_not_of(' '), words.size()));
    hide_secrets(words);
    return KernelAnswer{static_cast<int>(number), words};
  }
  return std::nullopt;
}

std::string tool_words(const process::Output& output) {
  const std::string text = output.err + "\n" + output.out;
  std::string line;
  for (const char c : text) {
    if (c != '\n' && c != '\t' && c != ' ') {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  hide_secrets(line);
  return line.empty() ? "(it said nothing)" : line;
}

Error to_error(const std::string& what, const process::Output& output) {
  const auto answer = parse_kernel_answer(output.err + "\n" + output.out);
  if (answer) {
    for (const Known& known : kKnown) {
      if (known.number != answer->number) continue;
      return {known.code, fmt::format("DRBD: cannot {}: ({}) {}; {}", what, answer->number,
                                      answer->words, known.advice)};
    }
  }
  return {ErrorCode::Internal, fmt::format("DRBD: cannot {}: exit code {}: {}", what,
                                           output.exit_code, tool_words(output))};
}

}  // namespace plexvol::drbd
