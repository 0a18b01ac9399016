#include "agent/store/transaction_check.h"

#include <fmt/core.h>

#include <set>
#include <string_view>

#include "agent/api/error.h"

namespace plexvol::store {

namespace {

[[noreturn]] void refuse_commit(const std::string& why) {
  throw Error(ErrorCode::Internal, "refused to commit to the store: " + why);
}

}  // namespace

void check_transaction(const Transaction& transaction) {
  const std::size_t operations = transaction.conditions.size() + transaction.writes.size();
  if (operations > kMaxOperations) {
    refuse_commit(fmt::format("{} conditions and writes in one transaction, at most {} are allowed",
                              operations, kMaxOperations));
  }
  for (const Condition& condition : transaction.conditions) {
    if (condition.key.empty()) refuse_commit("a condition has an empty key");
    if (condition.revision < 0) refuse_commit("negative revision expected of " + condition.key);
  }
  std::set<std::string_view> written;
  for (const Write& write : transaction.writes) {
    if (write.key.empty()) refuse_commit("a write has an empty key");
    if (!written.insert(write.key).second) refuse_commit(write.key + " is written twice");
  }
}

void check_keys(const std::vector<std::string>& keys) {
  if (keys.empty() || keys.size() > kMaxOperations) {
    throw Error(ErrorCode::Internal,
                fmt::format("refused to read {} keys of the store at once: 1 to {} are allowed",
                            keys.size(), kMaxOperations));
  }
}

std::string to_text(const Transaction& transaction) {
  const std::size_t count = transaction.conditions.size() + transaction.writes.size();
  if (count == 0) return "nothing";
  const std::string& first = transaction.writes.empty() ? transaction.conditions.front().key
                                                        : transaction.writes.front().key;
  if (transaction.writes.empty()) return "a check of " + first;
  const std::size_t more = transaction.writes.size() - 1;
  return more == 0 ? first : fmt::format("{} and {} more", first, more);
}

}  // namespace plexvol::store
