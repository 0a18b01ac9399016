#include "agent/drbd/refusal.h"

#include <doctest/doctest.h>

#include <string>

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::drbd::parse_kernel_answer;
using plexvol::drbd::to_error;
using plexvol::drbd::tool_words;
using plexvol::process::Output;

namespace {

Output failed(int exit_code, const std::string& err) {
  return {.exit_code = exit_code, .out = {}, .err = err};
}

}  // namespace

TEST_CASE("the kernel's number and words are found in what the tools say") {
  const auto refused = parse_kernel_answer(
      "1000: State change failed: (-7) Refusing to be Primary while peer is not outdated\n");
  REQUIRE(refused);
  CHECK(refused->number == -7);
  CHECK(refused->words == "Refusing to be Primary while peer is not outdated");

  const auto request = parse_kernel_answer(
      "warning: something (else)\n"
      "1000: Failure: (104) Can not open backing device.\nadditional info from kernel:\nx\n");
  REQUIRE(request);
  CHECK(request->number == 104);
  CHECK(request->words == "Can not open backing device.");

  CHECK_FALSE(parse_kernel_answer("Device '1000' is configured!\n"));
  CHECK_FALSE(parse_kernel_answer("x: (no number) y"));
  CHECK_FALSE(parse_kernel_answer(""));
}

TEST_CASE("what the kernel refuses is classified, with its words and what to do") {
  struct Case {
    int number;
    ErrorCode code;
  };
  for (const Case& given : {
           Case{-1, ErrorCode::Conflict},
           Case{-2, ErrorCode::Conflict},
           Case{-7, ErrorCode::Conflict},
           Case{-10, ErrorCode::Conflict},
           Case{-12, ErrorCode::Conflict},
           Case{-18, ErrorCode::Unavailable},
           Case{102, ErrorCode::Conflict},
           Case{104, ErrorCode::Conflict},
           Case{160, ErrorCode::Internal},
       }) {
    CAPTURE(given.number);
    const std::string said = "(" + std::to_string(given.number) + ") The words.";
    const Error error = to_error("make v1 primary", failed(11, "1000: Failure: " + said + "\n"));
    CHECK(error.code() == given.code);
    CHECK(std::string(error.what()).find("cannot make v1 primary") != std::string::npos);
    CHECK(std::string(error.what()).find(said) != std::string::npos);
  }
}

TEST_CASE("what is not the kernel's answer is told in one line, with the exit code") {
  const Error error =
      to_error("bring up v1", failed(20, "Device '1002' is configured!\nCommand\n"));
  CHECK(error.code() == ErrorCode::Internal);
  CHECK(std::string(error.what()) ==
        "DRBD: cannot bring up v1: exit code 20: Device '1002' is configured! Command");
  CHECK(tool_words(failed(1, "")) == "(it said nothing)");
}

TEST_CASE("the secret never gets into a message") {
  const Output output =
      failed(1,
             "Command 'drbdsetup-84 connect v1 ipv4:1.2.3.4:7000 ipv4:1.2.3.5:7000 --protocol=C "
             "--shared-secret=topsecret --ping-int=5' terminated with exit code 10\n"
             "again --shared-secret=topsecret'\n");
  const std::string words = tool_words(output);
  CHECK(words.find("topsecret") == std::string::npos);
  CHECK(words.find("--shared-secret=(hidden) --ping-int=5") != std::string::npos);
  CHECK(std::string(to_error("x", output).what()).find("topsecret") == std::string::npos);
  const Output known = failed(10, "v1: Failure: (102) used: --shared-secret=topsecret\n");
  CHECK(std::string(to_error("x", known).what()).find("topsecret") == std::string::npos);
}
