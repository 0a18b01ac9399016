#include "flexdriver/reply.h"

#include <doctest/doctest.h>

using plexvol::driver::exit_status;
using plexvol::driver::Reply;
using plexvol::driver::Status;
using plexvol::driver::to_json;

TEST_CASE("reply: only what was set is said, in the words that Kubernetes knows") {
  CHECK(to_json(Reply{}) == R"({"status":"Success"})");
  Reply refused;
  refused.status = Status::Failure;
  refused.message = "no";
  CHECK(to_json(refused) == R"({"message":"no","status":"Failure"})");
  Reply unknown;
  unknown.status = Status::NotSupported;
  CHECK(to_json(unknown) == R"({"status":"Not supported"})");
  Reply attached;
  attached.device = "";
  attached.attached = false;
  CHECK(to_json(attached) == R"({"attached":false,"device":"","status":"Success"})");
}

TEST_CASE("reply: a message is one line of text, whatever it was") {
  Reply reply;
  reply.status = Status::Failure;
  reply.message = "a\nb\x01\xff\"\\";
  CHECK(to_json(reply) == "{\"message\":\"a b??\\\"\\\\\",\"status\":\"Failure\"}");
  reply.message = std::string(1'000'000, 'x');
  CHECK(to_json(reply).size() < 2100);
}

TEST_CASE("reply: a device of any bytes still gives an answer") {
  Reply reply;
  reply.device = "/dev/\xff\n";
  CHECK(to_json(reply) == "{\"device\":\"/dev/\xef\xbf\xbd\\n\",\"status\":\"Success\"}");
}

TEST_CASE("reply: the exit status says whether it was done") {
  Reply reply;
  CHECK(exit_status(reply) == 0);
  reply.status = Status::Failure;
  CHECK(exit_status(reply) == 1);
  reply.status = Status::NotSupported;
  CHECK(exit_status(reply) == 1);
}
