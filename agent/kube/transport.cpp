#include "agent/kube/transport.h"

#include <curl/curl.h>
#include <fmt/core.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/kube/watched_file.h"

namespace plexvol::kube {

// Named, since Transport::Parts has some of it as members.
namespace curl {

constexpr std::size_t kMostKeptAlive = 16;
constexpr long kKeepAliveIdleSeconds = 30;
constexpr long kKeepAliveIntervalSeconds = 10;

// Of one exchange, for libcurl's callbacks, which must not throw.
struct Transfer {
  std::string received;
  bool is_too_long = false;
  std::string_view to_send;
};

std::size_t receive(char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t length = size * count;
  try {
    if (transfer.received.size() + length > Transport::kMostBodyBytes) {
      transfer.is_too_long = true;
      return 0;
    }
    transfer.received.append(data, length);
  } catch (const std::exception&) {
    return 0;
  }
  return length;
}

std::size_t give(char* buffer, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t length = std::min(size * count, transfer.to_send.size());
  std::memcpy(buffer, transfer.to_send.data(), length);
  transfer.to_send.remove_prefix(length);
  return length;
}

// With CURLOPT_NOSIGNAL libcurl leaves it to its user that writing to a closed connection raises
// SIGPIPE.
class WithoutBrokenPipe {
 public:
  WithoutBrokenPipe() {
    sigemptyset(&signal_);
    sigaddset(&signal_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signal_, &before_);
  }
  ~WithoutBrokenPipe() {
    if (sigismember(&before_, SIGPIPE) == 1) return;
    constexpr timespec kAtOnce{};
    while (sigtimedwait(&signal_, nullptr, &kAtOnce) < 0 && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  WithoutBrokenPipe(const WithoutBrokenPipe&) = delete;
  WithoutBrokenPipe& operator=(const WithoutBrokenPipe&) = delete;

 private:
  sigset_t signal_{};
  sigset_t before_{};
};

struct CloseEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct CloseMulti {
  void operator()(CURLM* multi) const {
    const WithoutBrokenPipe without_broken_pipe;  // TLS says goodbye
    curl_multi_cleanup(multi);
  }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

class Headers {
 public:
  void add(const std::string& line) {
    curl_slist* longer = curl_slist_append(list_.get(), line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    static_cast<void>(list_.release());
    list_.reset(longer);
  }
  curl_slist* get() const { return list_.get(); }

 private:
  std::unique_ptr<curl_slist, FreeList> list_;
};

void initialise_once() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (result != CURLE_OK) throw Error(ErrorCode::Internal, "libcurl cannot be initialised");
}

template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
  const CURLcode result = curl_easy_setopt(easy, option, value);
  if (result != CURLE_OK) {
    throw Error(ErrorCode::Internal,
                fmt::format("libcurl refuses its option {}: {}", static_cast<int>(option),
                            curl_easy_strerror(result)));
  }
}

// A connection, with what libcurl needs to use it.
class Connection {
 public:
  Connection() : easy_(curl_easy_init()), multi_(curl_multi_init()) {
    if (easy_ == nullptr || multi_ == nullptr) throw std::bad_alloc();
  }

  struct End {
    bool is_whole = false;  // else it was stopped, or the sink has enough
    long status = 0;
    std::chrono::seconds retry_after{0};
    CURLcode result = CURLE_OK;
    bool is_late = false;
    std::string why{};  // it failed
  };

  // What is set stays for the next run.
  CURL* prepare() {
    curl_easy_reset(easy_.get());
    why_.fill('\0');
    return easy_.get();
  }
  char* why() { return why_.data(); }

  End run(Transfer& transfer, const Transport::StreamLimits& limits, const Transport::Sink& sink,
          const std::stop_token& stop) {
    const WithoutBrokenPipe without_broken_pipe;
    curl_multi_add_handle(multi_.get(), easy_.get());
    const Removal removal{multi_.get(), easy_.get()};
    const std::stop_callback wake(stop, [this] { curl_multi_wakeup(multi_.get()); });
    while (!stop.stop_requested()) {
      int running = 0;
      curl_multi_perform(multi_.get(), &running);
      if (sink && status() == 200 && !transfer.received.empty()) {
        const std::string part = std::exchange(transfer.received, "");
        if (!sink(part)) return {.status = status()};
      }
      if (running == 0) return finished();
      const base::Deadline deadline = status() == 0 ? limits.status_by : limits.end_by;
      if (base::Clock::now() >= deadline) return {.status = status(), .is_late = true};
      curl_multi_poll(multi_.get(), nullptr, 0, base::poll_timeout(deadline), nullptr);
    }
    return {.status = status()};
  }

 private:
  // A connection that is in use is closed by this; one that is not is kept.
  struct Removal {
    CURLM* multi;
    CURL* easy;
    Removal(CURLM* of, CURL* what) : multi(of), easy(what) {}
    ~Removal() { curl_multi_remove_handle(multi, easy); }
    Removal(const Removal&) = delete;
    Removal& operator=(const Removal&) = delete;
  };

  // That of the last header that came whole.
  long status() const {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

  End finished() {
    End end{.is_whole = true, .status = status()};
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(multi_.get(), &left);
    end.result = message == nullptr ? CURLE_FAILED_INIT : message->data.result;
    curl_off_t seconds = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RETRY_AFTER, &seconds);
    end.retry_after = std::chrono::seconds(seconds);
    if (end.result != CURLE_OK) {
      end.why = why_[0] != '\0' ? why_.data() : curl_easy_strerror(end.result);
    }
    return end;
  }

  std::array<char, CURL_ERROR_SIZE> why_{};
  std::unique_ptr<CURL, CloseEasy> easy_;
  std::unique_ptr<CURLM, CloseMulti> multi_;  // keeps the connection, and goes before the handle
};

}  // namespace curl

namespace {

void check_path(const HttpRequest& request) {
  const bool is_sendable = request.path.starts_with('/') &&
                           std::all_of(request.path.begin(), request.path.end(), [](char letter) {
                             return letter > ' ' && letter < '\x7f' && letter != '#';
                           });
  if (!is_sendable) {
    throw Error(ErrorCode::InvalidArgument, fmt::format("{} {}: not a path of the API",
                                                        request.method, in_quotes(request.path)));
  }
}

}  // namespace

struct Transport::Parts {
  ClientSettings settings;
  std::optional<WatchedFile> token;
  std::optional<WatchedFile> authority;
  std::mutex mutex;
  std::vector<std::unique_ptr<curl::Connection>> idle;

  struct Exchange {
    const HttpRequest& request;
    const StreamLimits& limits;
    const Sink& sink;
    const std::stop_token& stop;
  };

  std::unique_ptr<curl::Connection> take();
  void close_idle();
  void give_back(std::unique_ptr<curl::Connection> connection);
  std::string read_token(bool again);
  HttpReply exchange(const Exchange& exchange);
  HttpReply try_exchange(const Exchange& exchange, const std::string& token);
  // What it points to must live until the exchange is over.
  void prepare(curl::Connection& connection, const HttpRequest& request, curl::Transfer& transfer,
               const curl::Headers& headers);
  static void set_body(CURL* easy, const HttpRequest& request, curl::Transfer& transfer);
  void trust(CURL* easy);
  [[noreturn]] void fail(const HttpRequest& request, const curl::Connection::End& end,
                         bool is_too_long) const;
};

std::unique_ptr<curl::Connection> Transport::Parts::take() {
  const std::lock_guard lock(mutex);
  if (idle.empty()) return std::make_unique<curl::Connection>();
  std::unique_ptr<curl::Connection> connection = std::move(idle.back());
  idle.pop_back();
  return connection;
}

void Transport::Parts::give_back(std::unique_ptr<curl::Connection> connection) {
  const std::lock_guard lock(mutex);
  if (idle.size() < curl::kMostKeptAlive) idle.push_back(std::move(connection));
}

void Transport::Parts::close_idle() {
  std::vector<std::unique_ptr<curl::Connection>> closed;
  const std::lock_guard lock(mutex);
  closed.swap(idle);
}

std::string Transport::Parts::read_token(bool again) {
  if (!token) return "";
  std::string text = token->read(again);
  text.erase(text.find_last_not_of(" \r\n\t") + 1);
  const bool is_token = !text.empty() && std::all_of(text.begin(), text.end(), [](char letter) {
    return letter > ' ' && letter < '\x7f';
  });
  if (!is_token) {
    throw Error(ErrorCode::Internal,
                fmt::format("token file {}: expected one token", settings.token_file));
  }
  return text;
}

HttpReply Transport::Parts::exchange(const Exchange& exchange) {
  check_path(exchange.request);
  const std::string token_sent = read_token(false);
  HttpReply reply = try_exchange(exchange, token_sent);
  if (reply.status != 401) return reply;
  const std::string fresh = read_token(true);
  return fresh == token_sent ? reply : try_exchange(exchange, fresh);
}

HttpReply Transport::Parts::try_exchange(const Exchange& exchange, const std::string& token_sent) {
  const HttpRequest& request = exchange.request;
  curl::Transfer transfer{.received = "", .to_send = request.body};
  curl::Headers headers;
  headers.add("Accept: application/json");
  headers.add("Expect:");
  if (!token_sent.empty()) headers.add("Authorization: Bearer " + token_sent);
  if (!request.content_type.empty()) headers.add("Content-Type: " + request.content_type);
  std::unique_ptr<curl::Connection> connection = take();
  prepare(*connection, request, transfer, headers);
  const curl::Connection::End end =
      connection->run(transfer, exchange.limits, exchange.sink, exchange.stop);
  if (end.is_late || end.result != CURLE_OK) {
    // The others may lead to the same server that is gone: each would take as long to find out.
    close_idle();
    fail(request, end, transfer.is_too_long);
  }
  give_back(std::move(connection));
  if (!end.is_whole && !exchange.sink) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("{} {}: cancelled", request.method, request.path));
  }
  return {end.status, std::move(transfer.received), end.retry_after};
}

void Transport::Parts::prepare(curl::Connection& connection, const HttpRequest& request,
                               curl::Transfer& transfer, const curl::Headers& headers) {
  CURL* easy = connection.prepare();
  curl::set(easy, CURLOPT_ERRORBUFFER, connection.why());
  curl::set(easy, CURLOPT_URL, (settings.server + request.path).c_str());
  curl::set(easy, CURLOPT_PATH_AS_IS, 1L);
  curl::set(easy, CURLOPT_PROTOCOLS_STR, settings.server.starts_with("https") ? "https" : "http");
  curl::set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl::set(easy, CURLOPT_PROXY, "");
  curl::set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl::set(easy, CURLOPT_NOSIGNAL, 1L);
  curl::set(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(settings.timeout.count()));
  curl::set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl::set(easy, CURLOPT_TCP_KEEPIDLE, curl::kKeepAliveIdleSeconds);
  curl::set(easy, CURLOPT_TCP_KEEPINTVL, curl::kKeepAliveIntervalSeconds);
  curl::set(easy, CURLOPT_USERAGENT, settings.user_agent.c_str());
  curl::set(easy, CURLOPT_HTTPHEADER, headers.get());
  curl::set(easy, CURLOPT_WRITEFUNCTION, &curl::receive);
  curl::set(easy, CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  if (!request.content_type.empty()) set_body(easy, request, transfer);
  trust(easy);
}

// libcurl sends a request again when a connection that was kept alive ends without an answer. Of what
// was read by a function without another one to go back, it does so only while nothing was sent: that
// is what keeps a write from being done twice.
void Transport::Parts::set_body(CURL* easy, const HttpRequest& request, curl::Transfer& transfer) {
  curl::set(easy, CURLOPT_POST, 1L);
  curl::set(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl::set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  curl::set(easy, CURLOPT_READFUNCTION, &curl::give);
  curl::set(easy, CURLOPT_READDATA, static_cast<void*>(&transfer));
}

// As the authority's text and not as its file: libcurl would keep what it read from a file for a
// day. Connections under another authority are not used again.
void Transport::Parts::trust(CURL* easy) {
  curl::set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl::set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl::set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!authority) return;
  std::string text = authority->read();
  curl_blob blob{text.data(), text.size(), CURL_BLOB_COPY};
  curl::set(easy, CURLOPT_CAINFO_BLOB, &blob);
}

void Transport::Parts::fail(const HttpRequest& request, const curl::Connection::End& end,
                            bool is_too_long) const {
  const std::string what =
      fmt::format("{} {}", request.method, request.path.substr(0, request.path.find('?')));
  if (is_too_long) {
    throw Error(ErrorCode::Internal, one_line(fmt::format("{}: the answer has more than {} MiB",
                                                          what, kMostBodyBytes >> 20U),
                                              500));
  }
  const std::string why = end.is_late ? "timed out" : end.why;
  throw Error(ErrorCode::Unavailable,
              one_line(fmt::format("{}: no answer from {}: {}", what, settings.server, why), 500));
}

Transport::Transport(const ClientSettings& settings) : parts_(std::make_unique<Parts>()) {
  parts_->settings = settings;
  std::string& server = parts_->settings.server;
  while (server.ends_with('/')) server.pop_back();
  const std::size_t host = server.starts_with("https://") ? 8 : 7;
  if ((host == 7 && !server.starts_with("http://")) || server.size() == host ||
      server.find_first_of("/?#@ ", host) != std::string::npos) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("API server {}: expected https://HOST:PORT", in_quotes(server)));
  }
  if (!settings.token_file.empty()) parts_->token.emplace(settings.token_file, "token file");
  if (!settings.ca_file.empty()) parts_->authority.emplace(settings.ca_file, "CA file");
  curl::initialise_once();
}

Transport::~Transport() = default;

HttpReply Transport::send(const HttpRequest& request, base::Deadline deadline,
                          const std::stop_token& stop) {
  return parts_->exchange({request, {deadline, deadline}, nullptr, stop});
}

HttpReply Transport::stream(const HttpRequest& request, const StreamLimits& limits,
                            const Sink& sink, const std::stop_token& stop) {
  return parts_->exchange({request, limits, sink, stop});
}

}  // namespace plexvol::kube
