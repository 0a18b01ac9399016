// A container runtime as far as agent/pods asks one: gRPC on a Unix socket, with an answer of the
// test's choice. For what a real runtime cannot be made to say: older versions of the interface,
// stopped sandboxes, silence.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace plexvol::support {

struct CriSandbox {
  std::string uid;
  bool ready = true;
  std::string name = "db-0";
  std::string name_space = "prod";
};

struct CriScript {
  std::string service = "runtime.v1.RuntimeService";  // all others are not implemented
  std::vector<CriSandbox> sandboxes;
  bool filters = true;     // by the label, as it is asked to
  bool is_silent = false;  // takes calls and does not answer
};

class CriServer {
 public:
  CriServer(const std::string& socket, CriScript script);
  ~CriServer();
  CriServer(const CriServer&) = delete;
  CriServer& operator=(const CriServer&) = delete;

  std::vector<std::string> methods() const;  // that were called so far

 private:
  class Running;
  std::unique_ptr<Running> running_;
};

}  // namespace plexvol::support
