// The one error type of driver and agent.
//
// A closed set of codes; the message is for the person at 3 a.m. and is shown by `kubectl describe
// pod`: one line that says what was tried, on what, what the tool said and what to do next.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace plexvol {

enum class ErrorCode {
  InvalidArgument,  // the caller asked for something that can never work
  NotFound,
  AlreadyExists,
  Conflict,  // the world is in a state that forbids it now: in use, attached elsewhere, being
             // deleted
  OutOfSpace,
  Unavailable,  // the only code that means "ask again": store or peer not reached, not ready within
                // the time
  Unsupported,
  Internal,  // a tool failed, or we did
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// Spelled as the enumerators are; an unknown text reads as Internal (a newer agent may know more
// codes than we do).
std::string_view to_text(ErrorCode code);
ErrorCode error_code_from_text(std::string_view text);

}  // namespace plexvol
