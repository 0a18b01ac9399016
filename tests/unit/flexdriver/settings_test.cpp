#include "flexdriver/settings.h"

#include <doctest/doctest.h>

#include <chrono>

using plexvol::driver::parse_settings;
using plexvol::driver::Settings;
using std::chrono::milliseconds;

TEST_CASE("settings: without a file the defaults hold") {
  const Settings settings = parse_settings("", "/plugins/x~plexvol");
  CHECK(settings.timeout == std::chrono::milliseconds(90'000));
  CHECK_FALSE(settings.capabilities.attach);
  CHECK(settings.sockets == std::vector<std::string>{"/run/plexvol/plexvold.sock",
                                                     "/plugins/x~plexvol/.plexvold.sock"});
  CHECK(settings.problem == "");
}

TEST_CASE("settings: the socket that they name is tried first") {
  const Settings settings = parse_settings(R"({"socket":"/s"})", "/d");
  CHECK(settings.sockets ==
        std::vector<std::string>{"/s", "/run/plexvol/plexvold.sock", "/d/.plexvold.sock"});
  const Settings usual = parse_settings(R"({"socket":"/run/plexvol/plexvold.sock"})", "");
  CHECK(usual.sockets == std::vector<std::string>{"/run/plexvol/plexvold.sock"});
}

TEST_CASE("settings: times from a tenth of a second up to well below the kubelet's ten minutes") {
  const auto timeout = [](const std::string& seconds) {
    return parse_settings(R"({"timeout_seconds":)" + seconds + "}", "").timeout;
  };
  CHECK(timeout("0.1") == std::chrono::milliseconds(100));
  CHECK(timeout("1.5") == std::chrono::milliseconds(1500));
  CHECK(timeout("540") == std::chrono::milliseconds(540'000));
  for (const char* wrong :
       {"0", "-1", "0.09", "541", "600", "1e300", "\"90\"", "null", "true", "[]"}) {
    CAPTURE(wrong);
    CHECK(timeout(wrong) == std::chrono::milliseconds(90'000));
  }
}

TEST_CASE("settings: one wrong key does not spoil the others, and is named") {
  const Settings settings =
      parse_settings(R"({"attach":"yes","timeout_seconds":5,"socket":"relative"})", "");
  CHECK_FALSE(settings.capabilities.attach);
  CHECK(settings.timeout == std::chrono::milliseconds(5'000));
  CHECK(settings.sockets.front() == "/run/plexvol/plexvold.sock");
  CHECK(parse_settings(R"({"attach":"yes"})", "").problem.find("attach") != std::string::npos);
}

TEST_CASE("settings: what is no JSON object is ignored, and said") {
  for (const char* text : {"{", "[]", "7", "\xff", "{}x"}) {
    CAPTURE(text);
    const Settings settings = parse_settings(text, "");
    CHECK(settings.problem != "");
    CHECK(settings.timeout == std::chrono::milliseconds(90'000));
  }
}

TEST_CASE("settings: how long an agent may be away is one of them [K6]") {
  CHECK(parse_settings("", "").agent_timeout == std::chrono::milliseconds(20'000));
  CHECK(parse_settings(R"({"agent_seconds":1.5})", "").agent_timeout ==
        std::chrono::milliseconds(1'500));
  CHECK(parse_settings(R"({"agent_seconds":-1})", "").problem != "");
}
