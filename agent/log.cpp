#include "agent/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <cstdio>
#include <memory>

namespace plexvol::log {
namespace {

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance;
  return instance;
}

Fields& scopes() {
  thread_local Fields fields;
  return fields;
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

bool needs_quotes(std::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    if (c == ' ' || c == '"' || c == '=' || c == '\\' || is_control(c)) return true;
  }
  return false;
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result.append({'\\', c});
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (is_control(c)) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned char>(c));
      result += escape.data();
    } else {
      result += c;
    }
  }
  return result + '"';
}

void append(std::string& line, const Fields& fields) {
  for (const auto& [key, value] : fields) {
    line += ' ' + key + '=' + (needs_quotes(value) ? quoted(value) : value);
  }
}

void write(spdlog::level::level_enum level, std::string_view message, const Fields& fields) {
  const auto& to = logger();
  if (to && to->should_log(level)) to->log(level, to_line(message, fields));
}

}  // namespace

void start(const std::string& level) {
  auto made = std::make_shared<spdlog::logger>("plexvold",
                                               std::make_shared<spdlog::sinks::stderr_sink_mt>());
  made->set_formatter(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                                                                  spdlog::pattern_time_type::utc));
  made->set_level(spdlog::level::from_str(level));
  logger() = std::move(made);
}

void trace(std::string_view message, const Fields& fields) {
  write(spdlog::level::trace, message, fields);
}
void debug(std::string_view message, const Fields& fields) {
  write(spdlog::level::debug, message, fields);
}
void info(std::string_view message, const Fields& fields) {
  write(spdlog::level::info, message, fields);
}
void warn(std::string_view message, const Fields& fields) {
  write(spdlog::level::warn, message, fields);
}
void error(std::string_view message, const Fields& fields) {
  write(spdlog::level::err, message, fields);
}

LogScope::LogScope(std::string key, std::string value) {
  scopes().emplace_back(std::move(key), std::move(value));
}

LogScope::~LogScope() {
  scopes().pop_back();
}

std::string to_line(std::string_view message, const Fields& fields) {
  std::string line = "msg=" + quoted(message);
  append(line, scopes());
  append(line, fields);
  return line;
}

}  // namespace plexvol::log
