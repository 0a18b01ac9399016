// The agent's log, on stderr: one line per event, `time level msg="..." key=value ...`, for people
// and for logfmt readers.
//
// No caller may give it a secret: DRBD's shared secret and passwords have no place in a message or
// a field.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace plexvol::log {

using Fields = std::vector<std::pair<std::string, std::string>>;

// trace, debug, info, warning or error: what is below is left out. Before this call nothing is
// logged at all.
void start(const std::string& level);

void trace(std::string_view message, const Fields& fields = {});
void debug(std::string_view message, const Fields& fields = {});
void info(std::string_view message, const Fields& fields = {});
void warn(std::string_view message, const Fields& fields = {});
void error(std::string_view message, const Fields& fields = {});

// While it lives, every line that this thread logs carries the field. Scopes nest.
class LogScope {
 public:
  LogScope(std::string key, std::string value);
  LogScope(const LogScope&) = delete;
  LogScope& operator=(const LogScope&) = delete;
  ~LogScope();
};

// What is logged after time and level: the message, then this thread's scopes from the outermost,
// then the fields. Always one line of valid text: quoted where there is a space, quote, `=`, or
// nothing; line breaks and other control characters escaped.
std::string to_line(std::string_view message, const Fields& fields);

}  // namespace plexvol::log
