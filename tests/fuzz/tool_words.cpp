// What a tool says when it fails, made into a message.
#include "agent/api/text.h"
#include "agent/drbd/refusal.h"
#include "agent/process/runner.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

void run(const std::string& bytes) {
  const process::Output output{.exit_code = 1, .out = "", .err = bytes};
  drbd::parse_kernel_answer(bytes);
  drbd::to_error("promote v1", output);
  expect(drbd::tool_words(output).find('\n') == std::string::npos);
  expect(process::said(output).find('\n') == std::string::npos);
  process::without_secrets(bytes);
  in_quotes(bytes);
}

}  // namespace plexvol::fuzz
