#include "agent/api/error.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace plexvol {

namespace {

constexpr std::pair<ErrorCode, std::string_view> kNames[] = {
    {ErrorCode::InvalidArgument, "InvalidArgument"}, {ErrorCode::NotFound, "NotFound"},
    {ErrorCode::AlreadyExists, "AlreadyExists"},     {ErrorCode::Conflict, "Conflict"},
    {ErrorCode::OutOfSpace, "OutOfSpace"},           {ErrorCode::Unavailable, "Unavailable"},
    {ErrorCode::Unsupported, "Unsupported"},         {ErrorCode::Internal, "Internal"},
};

}  // namespace

std::string_view to_text(ErrorCode code) {
  const auto* found = std::find_if(std::begin(kNames), std::end(kNames),
                                   [code](const auto& entry) { return entry.first == code; });
  return found == std::end(kNames) ? "Internal" : found->second;
}

ErrorCode error_code_from_text(std::string_view text) {
  const auto* found = std::find_if(std::begin(kNames), std::end(kNames),
                                   [text](const auto& entry) { return entry.second == text; });
  return found == std::end(kNames) ? ErrorCode::Internal : found->first;
}

}  // namespace plexvol
