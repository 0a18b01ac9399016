#include "agent/http/message.h"

#include <fmt/core.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "agent/api/protocol.h"

namespace plexvol::http {

namespace beast = boost::beast;

namespace {

BadMessage to_bad_message(const boost::system::error_code& error, const Limits& limits) {
  if (error == beast::http::error::body_limit) {
    return {413, fmt::format("the body is larger than {} bytes", limits.body_bytes)};
  }
  if (error == beast::http::error::header_limit) {
    return {431, fmt::format("the headers are larger than {} bytes", limits.header_bytes)};
  }
  return {400, "this is not an HTTP request: " + error.message()};
}

}  // namespace

struct MessageParser::Impl {
  explicit Impl(const Limits& given) : limits(given) {
    parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes));
    parser.body_limit(limits.body_bytes);
  }

  std::optional<std::string> find_header(const char* name) const {
    const auto found = parser.get().find(name);
    if (found == parser.get().end()) return std::nullopt;
    return std::string(found->value());
  }

  Limits limits;
  beast::http::request_parser<beast::http::string_body> parser;
};

MessageParser::MessageParser(const Limits& limits) : impl_(std::make_unique<Impl>(limits)) {}
MessageParser::~MessageParser() = default;

// Beast reads chunks with assertions that a trailer in pieces breaks, and no caller of ours sends
// any: such a request ends with its header.
bool MessageParser::feed(std::string& buffer) {
  auto& parser = impl_->parser;
  while (!parser.is_done() && !buffer.empty()) {
    boost::system::error_code error;
    const std::size_t used = parser.put(boost::asio::buffer(buffer), error);
    buffer.erase(0, used);
    if (error == beast::http::error::need_more) return false;
    if (error) throw to_bad_message(error, impl_->limits);
    if (!parser.is_header_done()) continue;
    if (impl_->find_header("Transfer-Encoding")) {
      throw BadMessage(501, "Transfer-Encoding is not supported: send a Content-Length");
    }
    parser.eager(true);
  }
  return parser.is_done();
}

Message MessageParser::take() {
  auto& request = impl_->parser.get();
  return Message{
      .is_post = request.method() == beast::http::verb::post,
      .path = std::string(request.target()),
      .body = std::move(request.body()),
      .keep_alive = request.keep_alive(),
      .protocol = impl_->find_header(api::kProtocolHeader),
      .timeout = impl_->find_header(api::kTimeoutHeader),
      .trace = impl_->find_header(api::kTraceHeader),
  };
}

std::string to_text(unsigned status, const std::string& body, bool keep_alive) {
  const auto reason = beast::http::obsolete_reason(beast::http::int_to_status(status));
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", status, std::string(reason));
  if (status == 405) text += "Allow: POST\r\n";
  if (!keep_alive) text += "Connection: close\r\n";
  text += "Content-Type: application/json\r\n";
  text += fmt::format("Content-Length: {}\r\n\r\n", body.size());
  return text + body;
}

}  // namespace plexvol::http
