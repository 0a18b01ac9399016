#include "flexdriver/options_text.h"

#include <unistd.h>

#include <cerrno>
#include <optional>

#include <nlohmann/json.hpp>

#include "agent/api/text.h"
#include "flexdriver/system_text.h"

namespace plexvol::driver {

namespace {

constexpr std::size_t kMostBytes = 1U << 20U;

std::string text_of(const std::string& argument) {
  std::optional<std::string> text;
  if (argument == "-") {
    text = read_all(STDIN_FILENO, kMostBytes);
  } else if (argument.starts_with('@')) {
    text = read_file(argument.substr(1), kMostBytes);
  } else {
    return argument;
  }
  if (text) return *text;
  throw Error(ErrorCode::InvalidArgument,
              "the options cannot be read from " + in_quotes(argument) + ": " + error_text(errno));
}

}  // namespace

api::Options read_options(const std::string& argument) {
  const auto json = nlohmann::json::parse(text_of(argument), nullptr, false);
  if (json.is_discarded()) {
    throw Error(ErrorCode::InvalidArgument,
                "the options are not JSON: " + in_quotes(argument) +
                    "; an object like {\"volume\":\"data\",\"size\":\"1Gi\"} is expected");
  }
  if (!json.is_object()) {
    throw Error(ErrorCode::InvalidArgument,
                std::string("the options must be a JSON object, not a JSON ") + json.type_name());
  }
  api::Options options;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      throw Error(ErrorCode::InvalidArgument, "option " + in_quotes(key) +
                                                  " must be a string, not a JSON " +
                                                  value.type_name() + ": put it in quotes");
    }
    // A pod's secrets are of no use here, and must not show up in a trace (fact 19).
    if (!key.starts_with("kubernetes.io/secret/")) options[key] = value.get<std::string>();
  }
  return options;
}

}  // namespace plexvol::driver
