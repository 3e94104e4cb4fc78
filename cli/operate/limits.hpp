// The limits of the library by name, as --limit NAME=VALUE and in the table [limits] of a configuration file.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace CLI {
class App;
}
namespace trunkline {
struct Limits;
struct NetworkOptions;
struct NodeOptions;
}
namespace trunkline::sync {
struct ServiceOptions;
}

namespace trunkline::cli {

/// Adds --limit, which may be repeated.
void add_limit_option(CLI::App& command, std::vector<std::string>& words);

/// Limits that can be set, each in its own struct, which must outlive this.
class LimitTable {
 public:
  /// A count or bytes: a number, also with K, M or G.
  template <class Number>
    requires std::is_unsigned_v<Number>
  void add(std::string name, Number& limit) {
    add(std::move(name), sizeof(Number), [&limit](std::uint64_t value) { limit = static_cast<Number>(value); });
  }
  /// A time: a number of milliseconds, or one with ms, s, m or h.
  template <class Period> void add(std::string name, std::chrono::duration<std::int64_t, Period>& limit) {
    add_time(std::move(name), [&limit](std::chrono::milliseconds value) {
      limit = std::chrono::duration_cast<std::chrono::duration<std::int64_t, Period>>(value);
    });
  }

  /// Sets what the words say. Errors: UsageError that names the limit, what was expected and what was seen.
  void set(const std::vector<std::string>& words) const;
  std::vector<std::string> names() const;

 private:
  void add(std::string name, std::size_t bytes, std::function<void(std::uint64_t)> set);
  void add_time(std::string name, std::function<void(std::chrono::milliseconds)> set);

  std::map<std::string, std::function<void(std::string_view)>, std::less<>> limits_; // each throws a phrase
};

void add_limits(LimitTable& table, Limits& limits);
/// With those of its trunks.
void add_limits(LimitTable& table, NodeOptions& options);
void add_limits(LimitTable& table, NetworkOptions& options);
void add_limits(LimitTable& table, sync::ServiceOptions& options);

} // namespace trunkline::cli
