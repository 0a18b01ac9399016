// A file descriptor that is closed once.
#pragma once

#include <unistd.h>

#include <utility>

namespace plexvol::base {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { reset(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = other.release();
    }
    return *this;
  }

  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  // For one who closes it himself.
  int release() { return std::exchange(number_, -1); }
  // errno stays as it is, so that what failed before can still be told.
  void reset();

 private:
  int number_ = -1;
};

}  // namespace plexvol::base
