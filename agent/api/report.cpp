#include "agent/api/report.h"

#include <algorithm>

#include "agent/api/text.h"

namespace plexvol::api {

namespace {

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

}  // namespace

std::string to_report(const std::vector<Finding>& findings) {
  constexpr std::size_t kLevel = 9;
  std::size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.what.size() + 2);
  std::string text;
  for (const Finding& finding : findings) {
    const std::string level = finding.level == "fault" ? "FAULT" : finding.level;
    text += padded(level, kLevel) + padded(finding.what, width) + printable(finding.found) + '\n';
    if (finding.advice.empty()) continue;
    text += std::string(kLevel, ' ') + "expected: " + printable(finding.wanted) + '\n';
    text += std::string(kLevel, ' ') + "do:       " + printable(finding.advice) + '\n';
  }
  return text;
}

}  // namespace plexvol::api
