// The members of one JSON object of the store: those that are known are asked for by name, and the
// rest is kept. Private to the codec.
#pragma once

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/model/model.h"

namespace plexvol::model {

using Json = nlohmann::json;

// Throws Error(Internal) when it is no JSON, or nested too deeply to be one of our records.
Json parse_record(const std::string& text);

// The known members, and beside them the unknown ones that were read with the record.
Json with_unknown(Json known, const Unknown& unknown);

// Names and messages of others' making may be no UTF-8, and must not keep a report from being
// written.
std::string dump_any(const Json& json);

// Asked without a fallback, a member must be there. All throw Error(Internal) with the member's
// place ("replicas[1].made") and what is wrong with it; never a text's value, which may be a
// secret.
class Members {
 public:
  // `object` must outlive this. `place`: what its members' names begin with in messages.
  explicit Members(const Json& object, std::string place = "");

  std::string text(const char* key);
  std::string text(const char* key, const std::string& fallback);
  bool flag(const char* key);
  bool flag(const char* key, bool fallback);
  std::set<std::string> texts(const char* key);
  std::set<std::string> texts(const char* key, const std::set<std::string>& fallback);
  std::vector<std::string> text_list(const char* key);  // none when it is missing
  double percent(const char* key, double fallback);
  std::map<std::string, std::int64_t> times(const char* key);  // none when it is missing
  template <class Number>
  Number number(const char* key, Number most = std::numeric_limits<Number>::max()) {
    return static_cast<Number>(to_number(key, get(key), std::is_signed_v<Number>, widen(most)));
  }
  template <class Number>
  Number number_or(const char* key, Number fallback) {
    return find(key) == nullptr ? fallback : number<Number>(key);
  }
  // nullptr when it is missing.
  const Json* find(const char* key);
  const Json& get(const char* key);
  // The elements of a list of objects.
  std::vector<Members> objects(const char* key);
  std::vector<Members> objects_or_none(const char* key);
  Members object(const char* key);

  [[noreturn]] void reject(const char* key, const std::string& what) const;

  // Those that were not asked for so far.
  Unknown rest() const;

 private:
  template <class Number>
  static std::uint64_t widen(Number most) {
    return static_cast<std::uint64_t>(most);
  }
  // A signed one comes back as the same bits.
  std::uint64_t to_number(const char* key, const Json& value, bool may_be_negative,
                          std::uint64_t most) const;
  std::string to_text(const char* key, const Json& value) const;
  std::vector<std::string> to_texts(const char* key, const Json& value) const;

  const Json& object_;
  std::string place_;
  std::set<std::string_view> known_;
};

}  // namespace plexvol::model
