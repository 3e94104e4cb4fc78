// The limits of the library by name: keys of the table [limits] of a configuration file, and --limit NAME=VALUE.
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
struct TcpOptions;
struct WebSocketOptions;
}
namespace trunkline::admin {
struct PortOptions;
}
namespace trunkline::sync {
struct ServiceOptions;
}
namespace trunkline::web {
struct FilesOptions;
struct StatusOptions;
}

namespace trunkline::cli {

/// What was said about limits.
struct LimitOptions {
  std::map<std::string, std::string, std::less<>> values; // by the file and the environment
  std::vector<std::string> words;                         // NAME=VALUE, by the command line, which has the last word
};

/// Limits that can be set, each in its own struct, which must outlive this.
class LimitTable {
 public:
  struct Limit {
    std::function<void(std::string_view)> check; // throws what was expected, as std::invalid_argument; needs no struct
    std::function<void(std::string_view)> set;
    std::string usual; // the value that it had when it was added, as `set` takes it
  };

  /// A count or bytes: a number, also with K, M or G.
  template <class Number>
    requires std::is_unsigned_v<Number>
  void add(std::string name, Number& limit) {
    add_number(std::move(name), limit, sizeof(Number), [&limit](std::uint64_t value) { limit = static_cast<Number>(value); });
  }
  /// A time: a number of milliseconds, or one with ms, s, m or h.
  template <class Period> void add(std::string name, std::chrono::duration<std::int64_t, Period>& limit) {
    add_time(std::move(name), std::chrono::duration_cast<std::chrono::milliseconds>(limit),
             [&limit](std::chrono::milliseconds value) {
               limit = std::chrono::duration_cast<std::chrono::duration<std::int64_t, Period>>(value);
             });
  }
  void add_factor(std::string name, double& limit);

  /// Sets those of what was said that are in this table. Errors: UsageError that names the limit, what was expected and
  /// what was seen.
  void set(const LimitOptions& options) const;
  const std::map<std::string, Limit, std::less<>>& all() const noexcept { return limits_; }

 private:
  void add_number(std::string name, std::uint64_t usual, std::size_t bytes, std::function<void(std::uint64_t)> set);
  void add_time(std::string name, std::chrono::milliseconds usual, std::function<void(std::chrono::milliseconds)> set);

  std::map<std::string, Limit, std::less<>> limits_;
};

/// Adds --limit, and for each limit of the table a hidden option, limits.NAME, which makes it a key of a file. All that
/// any table of the command has must be in this one.
void add_limit_options(CLI::App& command, LimitOptions& options, const LimitTable& table);
inline constexpr std::string_view limit_prefix = "limits.";

void add_limits(LimitTable& table, Limits& limits);
/// With those of its trunks, and of how an address is dialled again.
void add_limits(LimitTable& table, NodeOptions& options);
void add_limits(LimitTable& table, NetworkOptions& options);
void add_limits(LimitTable& table, sync::ServiceOptions& options);
// The names of these begin with "tcp.", "admin.", "web.", "files." and "status.".
void add_limits(LimitTable& table, TcpOptions& options);
void add_limits(LimitTable& table, admin::PortOptions& options);
void add_limits(LimitTable& table, WebSocketOptions& options);
void add_limits(LimitTable& table, web::FilesOptions& options);
void add_limits(LimitTable& table, web::StatusOptions& options);

} // namespace trunkline::cli
