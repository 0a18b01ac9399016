#include "agent/api/protocol.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

namespace api = plexvol::api;
using plexvol::Error;
using plexvol::ErrorCode;

namespace {

template <class T>
std::string refusal(const std::string& text) {
  try {
    api::from_json<T>(text);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::InvalidArgument);
    return error.what();
  }
  return "";
}

// What survives a journey is what the text says.
template <class T>
std::string again(const T& value) {
  return api::to_json(api::from_json<T>(api::to_json(value)));
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("protocol: every struct comes back as it went") {
  const api::Options options{{"kubernetes.io/pvOrVolumeName", "pv-1"}, {"size", "1Gi"}};
  const auto check = [](const auto& value) { CHECK(again(value) == api::to_json(value)); };
  check(api::AttachRequest{.options = options, .node = "n1"});
  check(api::WaitForAttachRequest{.device = "/dev/x", .options = options});
  check(api::DeviceReply{.device = "/dev/plexvol/v"});
  check(api::IsAttachedReply{.attached = true});
  check(api::DetachRequest{.name = "pv-1", .node = "n1"});
  check(api::MountRequest{
      .options = options, .target = "/t", .device = "/dev/x", .attached_before = true});
  check(api::MountReply{.volume = "v",
                        .device = "/dev/plexvol/v",
                        .major = 147,
                        .minor = 1'048'575,
                        .fs_type = "xfs",
                        .flags = {"noatime", "nosuid"},
                        .data = "nouuid",
                        .read_only = true,
                        .call_id = "7"});
  check(api::MountedRequest{.call_id = "7", .target = "/t", .mounted = false, .message = "no"});
  check(api::UnmountedRequest{.target = "/t"});
  check(api::HelperRequest{
      .event = "fence-peer", .object = "v", .environment = {{"DRBD_PEER_AF", "ipv4"}}});
  check(api::HelperReply{.exit_code = -5});
  check(api::CreateVolumeRequest{.name = "v",
                                 .size = "1Gi",
                                 .replicas = 2,
                                 .nodes = {"n1", "n2"},
                                 .pool = "p",
                                 .fs_type = "ext4",
                                 .mkfs_options = "-m 0",
                                 .first_node = "n2"});
  check(api::ChangesRequest{.since = "a-1"});
  check(api::ChangesReply{.token = "a-2"});
  check(api::VolumeNameRequest{.name = "v"});
  check(api::DeleteVolumeReply{.waiting_for = {"n1"}});
  check(api::VersionReply{.version = "1", .protocol = 1, .node = "n1", .store = "etcd"});
}

TEST_CASE("protocol: volumes and nodes come back with their copies and pools") {
  api::VolumeInfo volume;
  volume.name = "v";
  volume.size_bytes = std::numeric_limits<std::uint64_t>::max();
  volume.epoch = 9;
  volume.replicas.emplace_back();
  volume.replicas.back().node = "n1";
  volume.replicas.back().synced_percent = 12.5;
  volume.replicas.back().mounts = {"/a", "/b"};
  CHECK(again(volume) == api::to_json(volume));
  const std::vector<api::VolumeInfo> volumes{volume, volume};
  CHECK(api::from_json<std::vector<api::VolumeInfo>>(api::to_json(volumes)).size() == 2);
  CHECK(again(volumes) == api::to_json(volumes));
  api::NodeInfo node;
  node.name = "n1";
  node.pools.push_back(
      {.name = "p", .type = "lvm", .total_bytes = 5, .free_bytes = 4, .error = ""});
  CHECK(again(std::vector<api::NodeInfo>{node}) == api::to_json(std::vector<api::NodeInfo>{node}));
}

TEST_CASE("protocol: a missing field is named") {
  CHECK(contains(refusal<api::AttachRequest>(R"({"options":{}})"), "\"node\" is missing"));
  CHECK(contains(refusal<api::AttachRequest>(R"({"node":null,"options":{}})"),
                 "\"node\" is missing"));
  CHECK(contains(refusal<std::vector<api::VolumeInfo>>(R"({"volumes":[{"name":"a"},{}]})"),
                 "\"volumes[1].name\" is missing"));
}

TEST_CASE("protocol: a field of another type is named, with what it must be and what it is") {
  const std::string message = refusal<api::AttachRequest>(R"({"options":{"size":5},"node":"n1"})");
  CHECK(contains(message, "\"options.size\" must be a string"));
  CHECK(contains(message, "number \"5\""));
  CHECK(contains(refusal<api::Options>(R"({"size":true})"), "\"size\" must be a string"));
  CHECK(contains(refusal<api::AttachRequest>(R"({"options":[],"node":"n"})"), "must be an object"));
  CHECK(contains(refusal<api::IsAttachedReply>(R"({"attached":"yes"})"), "must be true or false"));
  CHECK(contains(refusal<api::DeleteVolumeReply>(R"({"waiting_for":"n1"})"), "must be a list"));
  CHECK(contains(refusal<api::DeleteVolumeReply>(R"({"waiting_for":[1]})"), "\"waiting_for[0]\""));
}

TEST_CASE("protocol: numbers out of range are refused, never wrapped") {
  const auto reply = [](const std::string& major) {
    return R"({"volume":"v","device":"d","minor":0,"fs_type":"ext4","read_only":false,"call_id":"1","major":)" +
           major + "}";
  };
  CHECK(api::from_json<api::MountReply>(reply("4294967295")).major == 4294967295U);
  for (const char* number : {"-1", "4294967296", "1.5", "1e3", "\"1\"", "18446744073709551616"}) {
    CAPTURE(number);
    CHECK(contains(refusal<api::MountReply>(reply(number)), "\"major\""));
  }
  for (const char* number : {"2147483648", "-2147483649", "18446744073709551615", "0.5"}) {
    CAPTURE(number);
    CHECK(contains(refusal<api::HelperReply>(R"({"exit_code":)" + std::string(number) + "}"),
                   "exit_code"));
  }
}

TEST_CASE(
    "protocol: fields that are not known are ignored, and defaults stand for those that may be "
    "absent") {
  const auto request = api::from_json<api::MountRequest>(
      R"({"options":{},"target":"/t","colour":"green","more":{"a":[1]}})");
  CHECK(request.target == "/t");
  CHECK(request.device == "");
  CHECK_FALSE(request.attached_before);
  CHECK(api::from_json<api::CreateVolumeRequest>(R"({"name":"v","size":"1Gi"})").replicas == 1);
  CHECK(api::from_json<api::CreateVolumeRequest>(R"({"name":"v","size":"1Gi"})").first_node == "");
  CHECK(api::from_json<api::ChangesRequest>("{}").since == "");
}

TEST_CASE("protocol: what is no JSON object is refused in one short line") {
  for (const std::string text : {"", "{", "[]", "7", "null", "\"x\"", "{}{}", "{\"a\":1e999}",
                                 "\xff", "{\"a\":\"\xff\"}", "nul", "{'a':1}"}) {
    CAPTURE(text);
    CHECK(refusal<api::Options>(text) != "");
  }
  CHECK(refusal<api::Options>(std::string(1'000'000, 'x')).size() < 300);
}

TEST_CASE("protocol: brackets do not decide about the stack") {
  const std::string many(1'000'000, '[');
  CHECK(contains(refusal<api::Options>(many), "nested deeper"));
  CHECK(contains(refusal<api::Options>(R"({"a":)" + many), "nested deeper"));
  const std::string in_text = R"({"a":")" + many + R"(\"[","b":"]"})";
  CHECK(api::from_json<api::Options>(in_text).size() == 2);
}

TEST_CASE("protocol: a reply carries a result or an error, and the steps") {
  api::Reply reply;
  reply.ok = true;
  reply.result = R"({"device":"/dev/x"})";
  reply.trace.push_back(
      {.what = "lvcreate", .took = std::chrono::microseconds(1500), .exit_code = 5});
  const auto read = api::from_json<api::Reply>(api::to_json(reply));
  CHECK(read.ok);
  CHECK(read.protocol == api::kProtocolVersion);
  CHECK(api::from_json<api::DeviceReply>(read.result).device == "/dev/x");
  REQUIRE(read.trace.size() == 1);
  CHECK(read.trace[0].took == std::chrono::microseconds(1500));
  CHECK(read.trace[0].exit_code == 5);

  api::Reply failed;
  failed.error = {.code = ErrorCode::OutOfSpace, .message = "full"};
  const auto error = api::from_json<api::Reply>(api::to_json(failed));
  CHECK_FALSE(error.ok);
  CHECK(error.error.code == ErrorCode::OutOfSpace);
  CHECK(error.error.message == "full");
}

TEST_CASE("protocol: a reply without a result is an empty one on the wire") {
  api::Reply reply;
  reply.ok = true;
  CHECK(api::from_json<api::Reply>(api::to_json(reply)).result == "{}");
}

TEST_CASE("protocol: a reply that says nothing is refused, a code of a newer agent is Internal") {
  CHECK(contains(refusal<api::Reply>(R"({"result":{}})"), "protocol"));
  CHECK(contains(refusal<api::Reply>(R"({"protocol":1})"), "result"));
  CHECK(contains(refusal<api::Reply>(R"({"protocol":1,"result":[]})"), "result"));
  CHECK(contains(refusal<api::Reply>(R"({"protocol":1,"error":{"code":7}})"), "code"));
  const auto reply =
      api::from_json<api::Reply>(R"({"protocol":1,"error":{"code":"TooNew","message":"m"}})");
  CHECK(reply.error.code == ErrorCode::Internal);
  CHECK(reply.error.message == "m");
}

TEST_CASE("protocol: bytes that are no UTF-8 in a message never stop a reply") {
  api::Reply reply;
  reply.error = {.code = ErrorCode::Internal, .message = "tool said \xff\xfe"};
  const auto read = api::from_json<api::Reply>(api::to_json(reply));
  CHECK(contains(read.error.message, "tool said"));
}

TEST_CASE("protocol: each code has its HTTP status and its name") {
  CHECK(api::http_status(ErrorCode::InvalidArgument) == 400);
  CHECK(api::http_status(ErrorCode::NotFound) == 404);
  CHECK(api::http_status(ErrorCode::AlreadyExists) == 409);
  CHECK(api::http_status(ErrorCode::Conflict) == 409);
  CHECK(api::http_status(ErrorCode::Unsupported) == 501);
  CHECK(api::http_status(ErrorCode::Unavailable) == 503);
  CHECK(api::http_status(ErrorCode::OutOfSpace) == 507);
  CHECK(api::http_status(ErrorCode::Internal) == 500);
  for (const auto code : {ErrorCode::InvalidArgument, ErrorCode::NotFound, ErrorCode::AlreadyExists,
                          ErrorCode::Conflict, ErrorCode::OutOfSpace, ErrorCode::Unavailable,
                          ErrorCode::Unsupported, ErrorCode::Internal}) {
    CHECK(plexvol::error_code_from_text(plexvol::to_text(code)) == code);
  }
  CHECK(plexvol::error_code_from_text("") == ErrorCode::Internal);
  CHECK(plexvol::to_text(ErrorCode::OutOfSpace) == "OutOfSpace");
}
