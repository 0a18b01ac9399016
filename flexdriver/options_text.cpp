#include "flexdriver/options_text.h"

#include <unistd.h>

#include <cerrno>
#include <optional>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/files.h"

namespace plexvol::driver {

namespace {

constexpr std::size_t kMostBytes = 1024UL * 1024;
constexpr const char* kSecrets = "kubernetes.io/secret/";

std::string text_of(const std::string& argument) {
  std::optional<std::string> text;
  if (argument == "-") {
    text = base::read_all(STDIN_FILENO, kMostBytes);
  } else if (argument.starts_with('@')) {
    text = base::read_file(argument.substr(1), kMostBytes);
  } else {
    return argument;
  }
  if (text) return *text;
  throw Error(ErrorCode::InvalidArgument, in_quotes(argument) + ": " + base::error_text(errno));
}

}  // namespace

api::Options read_options(const std::string& argument) {
  try {
    auto options = api::from_json<api::Options>(text_of(argument));
    std::erase_if(options, [](const auto& option) { return option.first.starts_with(kSecrets); });
    return options;
  } catch (const Error& error) {
    throw Error(error.code(), std::string("the options: ") + error.what() +
                                  R"(; expected is an object of strings, as {"volume":"data"})");
  }
}

}  // namespace plexvol::driver
