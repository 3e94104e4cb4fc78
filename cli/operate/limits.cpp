#include "cli/operate/limits.hpp"

#include "cli/exit_code.hpp"
#include "cli/nearest.hpp"
#include "peer/channel/network.hpp"
#include "services/admin/port.hpp"
#include "services/sync/path.hpp"
#include "services/sync/service.hpp"
#include "services/web/files.hpp"
#include "services/web/status.hpp"
#include "transport/socket_options.hpp"
#include "transport/web_socket.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

namespace trunkline::cli {
namespace {

/// The number at the beginning of a text, and what follows it.
std::optional<std::pair<std::uint64_t, std::string_view>> number_in(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc()) return std::nullopt;
  return std::pair(number, text.substr(static_cast<std::size_t>(end - text.data())));
}

template <class Unit> struct Units {
  std::string_view name;
  Unit factor;
};

constexpr Units<std::uint64_t> sizes[] = {{"", 1}, {"K", 1ull << 10}, {"M", 1ull << 20}, {"G", 1ull << 30}};
constexpr Units<std::uint64_t> times[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};

std::optional<std::uint64_t> scaled(std::string_view text, std::span<const Units<std::uint64_t>> units, std::uint64_t max) {
  const auto number = number_in(text);
  if (!number) return std::nullopt;
  for (const auto& unit : units)
    if (number->second == unit.name && number->first <= max / unit.factor) return number->first * unit.factor;
  return std::nullopt;
}

std::string known_names(const LimitTable& table, const std::string& name) {
  std::vector<std::string_view> names;
  for (const auto& [known, limit] : table.all()) names.push_back(known);
  return did_you_mean(name, names);
}

/// Calls `use` for the name and the value of NAME=VALUE; throws what was expected.
template <class Use> void split(const std::string& word, Use use) {
  const std::size_t equal = word.find('=');
  if (equal == std::string::npos) throw std::invalid_argument("expected NAME=VALUE, seen \"" + sync::printable(word) + "\"");
  use(word.substr(0, equal), word.substr(equal + 1));
}

std::string seen(const std::string& value) { return ", seen \"" + sync::printable(value) + "\""; }

} // namespace

void add_limit_options(CLI::App& command, LimitOptions& options, const LimitTable& table) {
  // What checks outlives the structs of this table.
  const auto kept = std::make_shared<LimitTable>(table);
  const auto check_word = [kept](const std::string& word) {
    std::string wrong;
    try {
      split(word, [&](const std::string& name, const std::string& value) {
        const auto found = kept->all().find(name);
        if (found == kept->all().end()) {
          wrong = "there is no limit \"" + sync::printable(name) + "\"" + known_names(*kept, name);
          return;
        }
        try {
          found->second.check(value);
        } catch (const std::invalid_argument& expected) {
          wrong = "limit " + name + ": expected " + expected.what() + seen(value);
        }
      });
    } catch (const std::invalid_argument& why) {
      wrong = why.what();
    }
    return wrong;
  };
  command.add_option("--limit", options.words, "Another value for a limit of docs/limits.md; may be repeated")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false)
      ->check(CLI::Validator(check_word, ""))
      ->group("Operating");
  for (const auto& [name, limit] : table.all()) {
    const auto check = [parse = limit.check, key = name](const std::string& value) {
      try {
        parse(value);
      } catch (const std::invalid_argument& expected) { // CLI11 does not name what is in no help
        return "--" + std::string(limit_prefix) + key + ": expected " + expected.what() + seen(value);
      }
      return std::string();
    };
    command
        .add_option_function<std::string>("--" + std::string(limit_prefix) + name,
                                          [&options, key = name](const std::string& value) { options.values[key] = value; })
        ->default_str(limit.usual)
        ->check(CLI::Validator(check, ""))
        ->group(""); // of no help: docs/limits.md has them
  }
}

void LimitTable::add_number(std::string name, std::uint64_t usual, std::size_t bytes, std::function<void(std::uint64_t)> set) {
  const std::uint64_t max = bytes >= 8 ? std::numeric_limits<std::int64_t>::max() : (1ull << (8 * bytes)) - 1;
  const auto parse = [max](std::string_view text) {
    const auto value = scaled(text, sizes, max);
    if (!value) throw std::invalid_argument("a number up to " + std::to_string(max) + ", also with K, M or G");
    return *value;
  };
  Limit limit;
  limit.check = [parse](std::string_view text) { parse(text); };
  limit.set = [parse, set = std::move(set)](std::string_view text) { set(parse(text)); };
  limit.usual = std::to_string(usual);
  limits_.insert_or_assign(std::move(name), std::move(limit));
}

void LimitTable::add_time(std::string name, std::chrono::milliseconds usual,
                          std::function<void(std::chrono::milliseconds)> set) {
  const auto parse = [](std::string_view text) {
    constexpr std::uint64_t max = 366ull * 24 * 3'600'000;
    const auto value = scaled(text, times, max);
    if (!value) throw std::invalid_argument("a number of milliseconds, or one with ms, s, m or h, up to a year");
    return std::chrono::milliseconds(*value);
  };
  Limit limit;
  limit.check = [parse](std::string_view text) { parse(text); };
  limit.set = [parse, set = std::move(set)](std::string_view text) { set(parse(text)); };
  limit.usual = std::to_string(usual.count()) + "ms";
  limits_.insert_or_assign(std::move(name), std::move(limit));
}

void LimitTable::add_factor(std::string name, double& factor) {
  const auto parse = [](std::string_view text) {
    double value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc() || end != text.data() + text.size() || !(value >= 1 && value <= 1000))
      throw std::invalid_argument("a number from 1 to 1000");
    return value;
  };
  Limit limit;
  limit.check = [parse](std::string_view text) { parse(text); };
  limit.set = [parse, &factor](std::string_view text) { factor = parse(text); };
  limit.usual = fmt::format("{}", factor);
  limits_.insert_or_assign(std::move(name), std::move(limit));
}

void LimitTable::set(const LimitOptions& options) const {
  const auto set_one = [this](const std::string& name, const std::string& value) {
    const auto found = limits_.find(name);
    if (found == limits_.end()) return; // of another table
    try {
      found->second.set(value);
    } catch (const std::invalid_argument& expected) {
      throw UsageError("limit " + name + ": expected " + expected.what() + seen(value));
    }
  };
  for (const auto& [name, value] : options.values) set_one(name, value);
  for (const std::string& word : options.words) split(word, set_one);
}

#define TRUNKLINE_LIMIT(name) table.add(#name, limits.name)

void add_limits(LimitTable& table, Limits& limits) {
  TRUNKLINE_LIMIT(fragment_bytes_max);
  TRUNKLINE_LIMIT(trunk_memory_bytes_max);
  TRUNKLINE_LIMIT(circuit_window_bytes_max);
  TRUNKLINE_LIMIT(errors_unread_bytes_max);
  TRUNKLINE_LIMIT(send_queue_bytes_max);
  TRUNKLINE_LIMIT(circuits_max);
  TRUNKLINE_LIMIT(open_backlog_max);
  TRUNKLINE_LIMIT(empty_frames_max);
  TRUNKLINE_LIMIT(pings_answered_per_second_max);
  TRUNKLINE_LIMIT(pings_per_second_max);
  TRUNKLINE_LIMIT(unknown_frames_per_minute_max);
  TRUNKLINE_LIMIT(cancelled_opens_per_second_max);
  TRUNKLINE_LIMIT(control_frames_per_second_max);
  TRUNKLINE_LIMIT(metadata_bytes_max);
  TRUNKLINE_LIMIT(remote_peers_max);
  TRUNKLINE_LIMIT(remote_metadata_bytes_max);
  TRUNKLINE_LIMIT(circuit_strings_bytes_max);
  TRUNKLINE_LIMIT(name_bytes_max);
  TRUNKLINE_LIMIT(user_string_bytes_max);
  TRUNKLINE_LIMIT(reason_bytes_max);
  TRUNKLINE_LIMIT(handshake_deadline);
  TRUNKLINE_LIMIT(keepalive_interval);
  TRUNKLINE_LIMIT(write_deadline);
  TRUNKLINE_LIMIT(stall_deadline);
  TRUNKLINE_LIMIT(goodbye_deadline);
}

namespace {

void add_node_limits(LimitTable& table, NodeOptions& limits) {
  add_limits(table, limits.limits);
  TRUNKLINE_LIMIT(trunks_max);
  TRUNKLINE_LIMIT(peers_max);
  TRUNKLINE_LIMIT(peers_per_trunk_max);
  TRUNKLINE_LIMIT(handshakes_max);
  TRUNKLINE_LIMIT(handshakes_per_host_max);
  TRUNKLINE_LIMIT(connect_deadline);
}

} // namespace

void add_limits(LimitTable& table, NodeOptions& options) {
  add_node_limits(table, options);
  table.add("redial.initial", options.redial.initial);
  table.add("redial.maximum", options.redial.maximum);
  table.add_factor("redial.multiplier", options.redial.multiplier);
  table.add("redial.jitter_percent", options.redial.jitter_percent);
}

void add_limits(LimitTable& table, NetworkOptions& options) {
  add_node_limits(table, options.node); // how it dials again is its own
  NetworkOptions& limits = options;
  TRUNKLINE_LIMIT(send_deadline);
  TRUNKLINE_LIMIT(broadcast_concurrency);
  TRUNKLINE_LIMIT(queue_bytes_max);
  TRUNKLINE_LIMIT(acks_outstanding_max);
  TRUNKLINE_LIMIT(channels_per_node_max);
  TRUNKLINE_LIMIT(nodes_remembered_max);
  TRUNKLINE_LIMIT(connections_inbound_max);
  TRUNKLINE_LIMIT(connections_outbound_max);
  TRUNKLINE_LIMIT(evict_idle_after);
  TRUNKLINE_LIMIT(idle_timeout);
  TRUNKLINE_LIMIT(redial_backoff_min);
  TRUNKLINE_LIMIT(redial_backoff_max);
  TRUNKLINE_LIMIT(stop_deadline);
  TRUNKLINE_LIMIT(operators_max);
  TRUNKLINE_LIMIT(operator_deadline);
}

void add_limits(LimitTable& table, sync::ServiceOptions& options) {
  sync::ServiceOptions& limits = options;
  TRUNKLINE_LIMIT(answered_max);
  TRUNKLINE_LIMIT(answered_per_remote_max);
  TRUNKLINE_LIMIT(idle_max);
  TRUNKLINE_LIMIT(notes_max);
  TRUNKLINE_LIMIT(listing_bytes_max);
#define TRUNKLINE_TUNING(name) table.add("tuning." #name, options.tuning.name)
  TRUNKLINE_TUNING(files_sending_max);
  TRUNKLINE_TUNING(files_outstanding_max);
  TRUNKLINE_TUNING(files_open_max);
  TRUNKLINE_TUNING(fragment_bytes);
  TRUNKLINE_TUNING(entries_max);
  TRUNKLINE_TUNING(listing_bytes_max);
  TRUNKLINE_TUNING(attempts_max);
  TRUNKLINE_TUNING(attempts_small_max);
  TRUNKLINE_TUNING(basis_bytes_min);
  TRUNKLINE_TUNING(partial_bytes_min);
#undef TRUNKLINE_TUNING
}

#undef TRUNKLINE_LIMIT
#define TRUNKLINE_LIMIT(prefix, name) table.add(prefix "." #name, options.name)

void add_limits(LimitTable& table, TcpOptions& options) {
  TRUNKLINE_LIMIT("tcp", resolve_deadline);
  TRUNKLINE_LIMIT("tcp", next_address_delay);
}

void add_limits(LimitTable& table, admin::PortOptions& options) {
  TRUNKLINE_LIMIT("admin", circuits_max);
  table.add("admin.header_bytes_max", options.http.header_bytes_max);
  table.add("admin.deadline", options.http.deadline);
  table.add("admin.connections_max", options.http.connections_max);
  table.add("admin.connections_per_host_max", options.http.connections_per_host_max);
}

void add_limits(LimitTable& table, WebSocketOptions& options) {
  TRUNKLINE_LIMIT("web", message_bytes_max);
  TRUNKLINE_LIMIT("web", header_bytes_max);
  TRUNKLINE_LIMIT("web", handshake_deadline);
  TRUNKLINE_LIMIT("web", visitors_max);
  TRUNKLINE_LIMIT("web", visitors_per_host_max);
  TRUNKLINE_LIMIT("web", ping_interval);
}

void add_limits(LimitTable& table, web::FilesOptions& options) {
  TRUNKLINE_LIMIT("files", requests_max);
  TRUNKLINE_LIMIT("files", entries_watched_max);
  TRUNKLINE_LIMIT("files", watch_interval);
  TRUNKLINE_LIMIT("files", question_deadline);
  TRUNKLINE_LIMIT("files", data_bytes_max);
}

void add_limits(LimitTable& table, web::StatusOptions& options) {
  TRUNKLINE_LIMIT("status", interval_min);
  TRUNKLINE_LIMIT("status", circuits_max);
  TRUNKLINE_LIMIT("status", askers_max);
}

#undef TRUNKLINE_LIMIT

} // namespace trunkline::cli
