#include "agent/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "agent/api/text.h"

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

bool needs_quotes(std::string_view text) {
  if (text.empty() || text.find_first_of(" \"=\\") != std::string_view::npos) return true;
  while (!text.empty()) {
    const std::size_t length = printable_length(text);
    if (length == 0) return true;
    text.remove_prefix(length);
  }
  return false;
}

std::string put_in_quotes(std::string_view text) {
  std::string result = "\"";
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = printable_length(text);
    if (c == '"' || c == '\\') {
      result.append({'\\', c});
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (length == 0) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned char>(c));
      result += escape.data();
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return result + '"';
}

void append(std::string& line, const Fields& fields) {
  for (const auto& [key, value] : fields) {
    line += ' ' + key + '=' + (needs_quotes(value) ? put_in_quotes(value) : value);
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
  std::string line = "msg=" + put_in_quotes(message);
  append(line, scopes());
  append(line, fields);
  return line;
}

}  // namespace plexvol::log
