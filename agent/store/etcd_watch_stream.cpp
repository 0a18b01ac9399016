#include "agent/store/etcd_watch_stream.h"

#include <algorithm>

#include "agent/store/etcd.grpc.pb.h"

namespace plexvol::store {

namespace {

class GrpcWatchStream : public EtcdWatchStream {
 public:
  GrpcWatchStream(EtcdCaller& caller, const EtcdCall& call, const WatchRange& range)
      : caller_(caller),
        scope_(call.cancellation, context_),
        endpoint_(caller.prepare_stream(call, context_)),
        key_prefix_bytes_(range.key_prefix_bytes),
        stream_(etcdserverpb::Watch::NewStub(endpoint_.channel)->Watch(&context_)) {
    etcdserverpb::WatchRequest request;
    etcdserverpb::WatchCreateRequest& create = *request.mutable_create_request();
    create.set_key(range.key);
    create.set_range_end(range.range_end);
    create.set_start_revision(range.start_revision);
    // So that a watch on which nothing happens does not fall behind what etcd keeps of its history.
    create.set_progress_notify(true);
    stream_->Write(request);  // a failure shows at the first read
  }

  ~GrpcWatchStream() override {
    context_.TryCancel();
    if (!is_over_) stream_->Finish();
  }

  GrpcWatchStream(const GrpcWatchStream&) = delete;
  GrpcWatchStream& operator=(const GrpcWatchStream&) = delete;

  std::optional<WatchNews> read() override {
    etcdserverpb::WatchResponse response;
    if (is_over_ || !stream_->Read(&response)) {
      finish();
      return std::nullopt;
    }
    WatchNews news{.created = response.created(),
                   .canceled = response.canceled(),
                   .compacted = response.compact_revision() != 0,
                   .cluster = response.header().cluster_id(),
                   .revision = response.header().revision(),
                   .last_revision = 0,
                   .keys = {}};
    for (const etcdserverpb::Event& event : response.events()) {
      if (event.kv().key().size() < key_prefix_bytes_) continue;
      news.keys.push_back(event.kv().key().substr(key_prefix_bytes_));
      news.last_revision = std::max(news.last_revision, event.kv().mod_revision());
    }
    // An etcd before 3.4 says no more than this when it does not accept the token.
    if (news.canceled && !news.compacted) caller_.forget_token();
    return news;
  }

 private:
  void finish() {
    if (is_over_) return;
    is_over_ = true;
    const grpc::Status status = stream_->Finish();
    if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED) caller_.forget_token();
    caller_.avoid(endpoint_);
  }

  EtcdCaller& caller_;
  grpc::ClientContext context_;
  const Cancellation::Scope scope_;
  const EtcdEndpoint& endpoint_;
  const std::size_t key_prefix_bytes_;
  const std::unique_ptr<
      grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>>
      stream_;
  bool is_over_ = false;
};

}  // namespace

std::unique_ptr<EtcdWatchStream> open_watch_stream(EtcdCaller& caller, const EtcdCall& call,
                                                   const WatchRange& range) {
  return std::make_unique<GrpcWatchStream>(caller, call, range);
}

}  // namespace plexvol::store
