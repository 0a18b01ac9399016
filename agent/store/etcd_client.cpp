#include "agent/store/etcd_client.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/api/error.h"
#include "agent/store/etcd.grpc.pb.h"
#include "agent/store/etcd_calls.h"
#include "agent/store/etcd_watch_stream.h"
#include "agent/store/store_seen.h"
#include "agent/store/transaction_check.h"

namespace plexvol::store {

namespace {

using Channel = EtcdCaller::Channel;

constexpr std::int64_t kPageEntries = 500;
// A page is lost to a compaction only when reading all of them takes longer than the history is
// kept.
constexpr int kListAttempts = 3;

// The first key behind all that begin with `prefix`.
std::string end_of_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (prefix.empty()) return {'\0'};  // etcd's word for "to the end"
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

// A range that begins at an empty key is spelled with a zero byte.
std::string start_of_prefix(const std::string& prefix) {
  return prefix.empty() ? std::string(1, '\0') : prefix;
}

void expect_revision(etcdserverpb::TxnRequest& request, const std::string& key,
                     std::int64_t revision) {
  etcdserverpb::Compare& compare = *request.add_compare();
  compare.set_result(etcdserverpb::Compare::EQUAL);
  compare.set_target(etcdserverpb::Compare::MOD);
  compare.set_key(key);
  compare.set_mod_revision(revision);  // a key that does not exist has 0
}

void add_read(etcdserverpb::RequestOp& operation, const std::string& key) {
  operation.mutable_request_range()->set_key(key);
  operation.mutable_request_range()->set_count_only(true);
}

// Tells what the store said of itself.
class Noting {
 public:
  explicit Noting(StoreSeen* seen) : seen_(seen) {
    if (seen_ != nullptr) before_ = seen_->last();
  }
  void answer(const etcdserverpb::ResponseHeader& header) const {
    if (seen_ == nullptr) return;
    seen_->note(before_, {.cluster = header.cluster_id(), .revision = header.revision()});
  }
  // Of what a member answers by itself.
  void progress(const etcdserverpb::ResponseHeader& header) const {
    if (seen_ == nullptr) return;
    seen_->note_progress(before_, {.cluster = header.cluster_id(), .revision = header.revision()});
  }

 private:
  StoreSeen* seen_;
  StoreSeen::Point before_;
};

EtcdCaller::Invoke invoke_txn(const etcdserverpb::TxnRequest& request,
                              etcdserverpb::TxnResponse& response) {
  return [&](const Channel& channel, grpc::ClientContext& context) {
    return etcdserverpb::KV::NewStub(channel)->Txn(&context, request, &response);
  };
}

}  // namespace

void Cancellation::cancel() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
  }
  changed_.notify_all();
}

bool Cancellation::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

bool Cancellation::wait_for(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [this] { return cancelled_; });
}

Cancellation::Scope::Scope(Cancellation& cancellation, grpc::ClientContext& context)
    : cancellation_(cancellation), context_(context) {
  const std::lock_guard lock(cancellation_.mutex_);
  cancellation_.contexts_.insert(&context_);
  if (cancellation_.cancelled_) context_.TryCancel();
}

Cancellation::Scope::~Scope() {
  const std::lock_guard lock(cancellation_.mutex_);
  cancellation_.contexts_.erase(&context_);
}

RetryDelay::RetryDelay(std::chrono::milliseconds longest)
    : longest_(longest), random_(std::random_device{}()) {}

std::chrono::milliseconds RetryDelay::next() {
  const auto limit = std::min(limit_, longest_);
  limit_ = std::min(limit_ * 2, std::max(longest_, kFirst));
  return std::chrono::milliseconds(
      std::uniform_int_distribution<std::int64_t>(0, limit.count())(random_));
}

EtcdClient::EtcdClient(const EtcdSettings& settings)
    : key_prefix_(settings.key_prefix),
      timeout_(settings.request_timeout),
      seen_(settings.seen),
      caller_(std::make_unique<EtcdCaller>(settings)) {}

EtcdClient::~EtcdClient() = default;

struct EtcdClient::Page {
  std::vector<Entry> entries;
  std::int64_t revision = 0;
  bool more = false;
  bool compacted = false;  // the revision asked for is gone; nothing else is set
};

EtcdClient::Page EtcdClient::read_page(const std::string& key, const std::string& range_end,
                                       std::int64_t revision) {
  etcdserverpb::RangeRequest request;
  request.set_key(key);
  request.set_range_end(range_end);
  request.set_revision(revision);
  request.set_limit(kPageEntries);
  etcdserverpb::RangeResponse response;
  Page page;
  const Noting noting(seen_);
  caller_->call({.what = "read " + key, .cancellation = never_, .timeout = timeout_},
                [&](const Channel& channel, grpc::ClientContext& context) {
                  const grpc::Status status =
                      etcdserverpb::KV::NewStub(channel)->Range(&context, request, &response);
                  page.compacted = status.error_code() == grpc::StatusCode::OUT_OF_RANGE;
                  return page.compacted ? grpc::Status::OK : status;
                });
  noting.answer(response.header());
  page.revision = response.header().revision();
  page.more = response.more();
  for (etcdserverpb::KeyValue& found : *response.mutable_kvs()) {
    page.entries.push_back(to_entry(found));
  }
  return page;
}

Entry EtcdClient::to_entry(etcdserverpb::KeyValue& found) const {
  return {found.key().substr(key_prefix_.size()), std::move(*found.mutable_value()),
          found.mod_revision()};
}

std::optional<Entry> EtcdClient::get(const std::string& key) {
  Page page = read_page(full_key(key), {}, 0);
  if (page.entries.empty()) return std::nullopt;
  return std::move(page.entries.front());
}

// One transaction of reads that no member answers from what it alone knows.
std::vector<std::optional<Entry>> EtcdClient::get_all(const std::vector<std::string>& keys) {
  etcdserverpb::TxnRequest request;
  for (const std::string& key : keys) {
    request.add_success()->mutable_request_range()->set_key(full_key(key));
  }
  etcdserverpb::TxnResponse response;
  const Noting noting(seen_);
  caller_->call({.what = "read " + keys.front(), .cancellation = never_, .timeout = timeout_},
                invoke_txn(request, response));
  noting.answer(response.header());
  if (response.responses_size() != request.success_size()) {
    throw Error(ErrorCode::Internal,
                fmt::format("etcd: asked for {} keys, received {}", request.success_size(),
                            response.responses_size()));
  }
  std::vector<std::optional<Entry>> entries;
  entries.reserve(keys.size());
  for (etcdserverpb::ResponseOp& operation : *response.mutable_responses()) {
    auto& found = *operation.mutable_response_range()->mutable_kvs();
    entries.push_back(found.empty() ? std::nullopt : std::optional(to_entry(found[0])));
  }
  return entries;
}

std::vector<Entry> EtcdClient::list(const std::string& prefix) {
  for (int attempt = 0; attempt < kListAttempts; ++attempt) {
    if (std::optional<std::vector<Entry>> entries = try_list(prefix)) return std::move(*entries);
  }
  throw Error(ErrorCode::Unavailable,
              fmt::format("etcd: its history is compacted faster than {} can be listed", prefix));
}

std::optional<std::vector<Entry>> EtcdClient::try_list(const std::string& prefix) {
  const std::string range_end = end_of_prefix(full_key(prefix));
  Page page = read_page(start_of_prefix(full_key(prefix)), range_end, 0);
  std::vector<Entry> entries = std::move(page.entries);
  const std::int64_t revision = page.revision;
  while (page.more && !entries.empty()) {
    page = read_page(full_key(entries.back().key) + '\0', range_end, revision);
    if (page.compacted) return std::nullopt;
    std::ranges::move(page.entries, std::back_inserter(entries));
  }
  return entries;
}

bool EtcdClient::commit(const Transaction& transaction) {
  etcdserverpb::TxnRequest request;
  for (const Condition& condition : transaction.conditions) {
    expect_revision(request, full_key(condition.key), condition.revision);
  }
  for (const Write& write : transaction.writes) {
    etcdserverpb::RequestOp& operation = *request.add_success();
    if (write.value) {
      operation.mutable_request_put()->set_key(full_key(write.key));
      operation.mutable_request_put()->set_value(*write.value);
    } else {
      operation.mutable_request_delete_range()->set_key(full_key(write.key));
    }
  }
  // A transaction without operations is answered from what the member itself knows, which may be
  // old. A read in each branch makes it ask the others.
  if (transaction.writes.empty() && !transaction.conditions.empty()) {
    add_read(*request.add_success(), full_key(transaction.conditions.front().key));
    add_read(*request.add_failure(), full_key(transaction.conditions.front().key));
  }
  etcdserverpb::TxnResponse response;
  const Noting noting(seen_);
  caller_->call({.what = "commit " + to_text(transaction),
                 .cancellation = never_,
                 .timeout = timeout_,
                 .repeatable = transaction.writes.empty()},
                invoke_txn(request, response));
  noting.answer(response.header());
  return response.succeeded();
}

bool EtcdClient::probably_exists(const std::string& key, Cancellation& cancellation) {
  etcdserverpb::RangeRequest request;
  request.set_key(full_key(key));
  request.set_serializable(true);
  etcdserverpb::RangeResponse response;
  caller_->call({.what = "read " + key, .cancellation = cancellation, .timeout = timeout_},
                [&](const Channel& channel, grpc::ClientContext& context) {
                  return etcdserverpb::KV::NewStub(channel)->Range(&context, request, &response);
                });
  return response.kvs_size() != 0;
}

bool EtcdClient::put_with_lease(const LeasedKey& key, std::int64_t lease,
                                Cancellation& cancellation) {
  etcdserverpb::TxnRequest request;
  for (const Condition& condition : key.conditions) {
    expect_revision(request, full_key(condition.key), condition.revision);
  }
  etcdserverpb::PutRequest& put = *request.add_success()->mutable_request_put();
  put.set_key(full_key(key.key));
  put.set_value(key.value);
  put.set_lease(lease);
  etcdserverpb::TxnResponse response;
  const Noting noting(seen_);
  // Sent twice it does no harm: the same value under the same lease.
  caller_->call({.what = "announce " + key.key, .cancellation = cancellation, .timeout = timeout_},
                invoke_txn(request, response));
  noting.answer(response.header());
  return response.succeeded();
}

std::int64_t EtcdClient::grant_lease(std::chrono::seconds ttl, Cancellation& cancellation) {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(ttl.count());
  etcdserverpb::LeaseGrantResponse response;
  // A grant whose answer was lost ends by itself.
  caller_->call({.what = "get a lease", .cancellation = cancellation, .timeout = timeout_},
                [&](const Channel& channel, grpc::ClientContext& context) {
                  return etcdserverpb::Lease::NewStub(channel)->LeaseGrant(&context, request,
                                                                           &response);
                });
  return response.id();
}

bool EtcdClient::keep_lease(std::int64_t lease, Cancellation& cancellation) {
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseKeepAliveResponse response;
  const Noting noting(seen_);
  caller_->call(
      {.what = "keep a lease", .cancellation = cancellation, .timeout = timeout_},
      [&](const Channel& channel, grpc::ClientContext& context) {
        const auto stream = etcdserverpb::Lease::NewStub(channel)->LeaseKeepAlive(&context);
        const bool answered = stream->Write(request) && stream->Read(&response);
        stream->WritesDone();
        const grpc::Status status = stream->Finish();
        if (answered) return grpc::Status::OK;
        return status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "no answer") : status;
      });
  // So a node that reads nothing for a while still knows how far the store has come.
  noting.progress(response.header());
  return response.ttl() > 0;
}

void EtcdClient::revoke_lease(std::int64_t lease, std::chrono::milliseconds timeout) {
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseRevokeResponse response;
  caller_->call({.what = "give a lease back", .cancellation = never_, .timeout = timeout},
                [&](const Channel& channel, grpc::ClientContext& context) {
                  return etcdserverpb::Lease::NewStub(channel)->LeaseRevoke(&context, request,
                                                                            &response);
                });
}

std::unique_ptr<EtcdWatchStream> EtcdClient::open_watch(const std::string& prefix,
                                                        std::int64_t start_revision,
                                                        Cancellation& cancellation) {
  const std::string key = full_key(prefix);
  return open_watch_stream(
      *caller_, {.what = "watch " + prefix, .cancellation = cancellation, .timeout = timeout_},
      {.key = start_of_prefix(key),
       .range_end = end_of_prefix(key),
       .start_revision = start_revision,
       .key_prefix_bytes = key_prefix_.size()});
}

}  // namespace plexvol::store
