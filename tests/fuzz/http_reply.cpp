// What the driver is answered on its socket.
#include "flexdriver/http_reply.h"

#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

void run(const std::string& bytes) {
  if (const auto reply = driver::parse_http_reply(bytes))
    expect(reply->body.size() <= bytes.size());
}

}  // namespace plexvol::fuzz
