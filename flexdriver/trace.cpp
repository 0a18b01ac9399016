#include "flexdriver/trace.h"

#include <unistd.h>

#include <array>
#include <cstdio>

#include "agent/api/text.h"

namespace plexvol::driver {

namespace {

std::string as_milliseconds(base::Clock::duration took) {
  const double value = std::chrono::duration<double, std::milli>(took).count();
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f ms", value);
  return text.data();
}

}  // namespace

void Trace::print(const std::string& took, const std::string& what) const {
  if (!enabled_) return;
  const std::string at = "+" + as_milliseconds(base::Clock::now() - begin_);
  const std::string line = one_line(what);
  std::fprintf(stderr, "plexvol: %14s %12s  %s\n", at.c_str(), took.c_str(), line.c_str());
}

void Trace::note(const std::string& what) const {
  print("", what);
}

void Trace::step(const std::string& what, base::Clock::duration took) const {
  print(as_milliseconds(took), what);
}

mounts::Steps Trace::steps() const {
  return {
      .note = [this](const std::string& what) { note(what); },
      .step = [this](const std::string& what, base::Clock::duration took) { step(what, took); }};
}

client::Listener Trace::listener() const {
  if (!enabled_) return {};
  return {.steps = steps(),
          .agent_steps = [this](const std::vector<api::TraceStep>& steps) { agent_steps(steps); }};
}

void Trace::agent_steps(const std::vector<api::TraceStep>& steps) const {
  for (const api::TraceStep& step : steps) {
    std::string what = "  agent: " + step.what;
    if (step.exit_code != 0) what += " -> exit " + std::to_string(step.exit_code);
    print(as_milliseconds(step.took), what);
  }
}

}  // namespace plexvol::driver
