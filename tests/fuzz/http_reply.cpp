// What the driver is answered on its socket.
#include "agent/client/http_reply.h"

#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

void run(const std::string& bytes) {
  if (const auto reply = client::parse_http_reply(bytes))
    expect(reply->body.size() <= bytes.size());
}

}  // namespace plexvol::fuzz
