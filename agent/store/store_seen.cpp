#include "agent/store/store_seen.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include "agent/base/files.h"
#include "agent/log.h"

namespace plexvol::store {

namespace {

// "<cluster, hexadecimal> <revision>"
StoreSeen::Point read(const std::string& path) {
  std::ifstream file(path);
  if (!file) return {};
  StoreSeen::Point point;
  std::string end;
  if (file >> std::hex >> point.cluster >> std::dec >> point.revision >> end && end == ".") {
    return point;
  }
  log::warn(path +
            ": cannot be read: a restored backup of the store is noticed only by what other "
            "nodes have seen");
  return {};
}

std::string to_text(const StoreSeen::Point& point) {
  return fmt::format("cluster {:x}, revision {}", point.cluster, point.revision);
}

}  // namespace

StoreSeen::StoreSeen(std::string path)
    : path_(std::move(path)), last_(read(path_)), saved_(last_) {}

StoreSeen::~StoreSeen() {
  save();
}

StoreSeen::Point StoreSeen::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

void StoreSeen::note(const Point& before, const Point& answer) {
  const std::lock_guard lock(mutex_);
  if (answer.cluster == 0 || before.generation != last_.generation) return;
  const bool is_another = before.cluster != 0 && answer.cluster != before.cluster;
  if (is_another || answer.revision < before.revision) {
    answered_ = answer;
    if (!contradiction_.empty()) return;
    contradiction_ =
        fmt::format("etcd answers as {}, but was {}", to_text(answer), to_text(before));
    log::error("the store was rolled back or replaced: " + contradiction_);
    return;
  }
  if (!contradiction_.empty()) return;
  if (last_.cluster != 0 && last_.cluster != answer.cluster) return;
  last_.cluster = answer.cluster;
  last_.revision = std::max(last_.revision, answer.revision);
}

void StoreSeen::note_progress(const Point& before, const Point& answer) {
  const std::lock_guard lock(mutex_);
  if (before.generation != last_.generation || !contradiction_.empty()) return;
  if (last_.cluster == 0 || answer.cluster != last_.cluster) return;
  last_.revision = std::max(last_.revision, answer.revision);
}

std::string StoreSeen::contradiction() const {
  const std::lock_guard lock(mutex_);
  return contradiction_;
}

void StoreSeen::accept() {
  {
    const std::lock_guard lock(mutex_);
    if (contradiction_.empty()) return;
    answered_.generation = last_.generation + 1;
    last_ = answered_;
    contradiction_.clear();
  }
  save();
}

void StoreSeen::save() {
  const std::lock_guard one_at_a_time(save_mutex_);
  const Point now = last();
  const bool is_saved = now.cluster == saved_.cluster && now.revision == saved_.revision;
  if (is_saved || now.cluster == 0) return;
  std::ostringstream text;
  text << std::hex << now.cluster << ' ' << std::dec << now.revision << " .\n";
  if (base::replace_file(path_, text.str())) {
    saved_ = now;
  } else {
    log::warn(path_ + ": cannot write: a restored backup of the store may go unnoticed");
  }
}

}  // namespace plexvol::store
