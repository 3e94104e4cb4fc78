#include "cli/operate/limits.hpp"

#include "cli/exit_code.hpp"
#include "cli/nearest.hpp"
#include "peer/channel/network.hpp"
#include "services/sync/path.hpp"
#include "services/sync/service.hpp"

#include <CLI/CLI.hpp>

#include <charconv>
#include <limits>
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

} // namespace

void add_limit_option(CLI::App& command, std::vector<std::string>& words) {
  command.add_option("--limit", words, "Another value for a limit of docs/limits.md; may be repeated")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false)
      ->group("Operating");
}

void LimitTable::add(std::string name, std::size_t bytes, std::function<void(std::uint64_t)> set) {
  const std::uint64_t max = bytes >= 8 ? std::numeric_limits<std::int64_t>::max() : (1ull << (8 * bytes)) - 1;
  limits_.insert_or_assign(std::move(name), [set = std::move(set), max](std::string_view text) {
    const auto value = scaled(text, sizes, max);
    if (!value) throw std::invalid_argument("a number up to " + std::to_string(max) + ", also with K, M or G");
    set(*value);
  });
}

void LimitTable::add_time(std::string name, std::function<void(std::chrono::milliseconds)> set) {
  constexpr std::uint64_t max = 366ull * 24 * 3'600'000;
  limits_.insert_or_assign(std::move(name), [set = std::move(set)](std::string_view text) {
    const auto value = scaled(text, times, max);
    if (!value) throw std::invalid_argument("a number of milliseconds, or one with ms, s, m or h, up to a year");
    set(std::chrono::milliseconds(*value));
  });
}

void LimitTable::set(const std::vector<std::string>& words) const {
  for (const std::string& word : words) {
    const std::size_t equal = word.find('=');
    if (equal == std::string::npos)
      throw UsageError("--limit: expected NAME=VALUE, seen \"" + sync::printable(word) + "\"");
    const std::string name = word.substr(0, equal);
    const auto found = limits_.find(name);
    if (found == limits_.end()) {
      const std::vector<std::string> known = names();
      const std::vector<std::string_view> views(known.begin(), known.end());
      throw UsageError("there is no limit \"" + sync::printable(name) + "\"" + did_you_mean(name, views));
    }
    try {
      found->second(std::string_view(word).substr(equal + 1));
    } catch (const std::invalid_argument& expected) {
      throw UsageError("limit " + name + ": expected " + expected.what() + ", seen \"" +
                       sync::printable(word.substr(equal + 1)) + "\"");
    }
  }
}

std::vector<std::string> LimitTable::names() const {
  std::vector<std::string> all;
  for (const auto& [name, set] : limits_) all.push_back(name);
  return all;
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

void add_limits(LimitTable& table, NodeOptions& options) {
  add_limits(table, options.limits);
  NodeOptions& limits = options;
  TRUNKLINE_LIMIT(trunks_max);
  TRUNKLINE_LIMIT(peers_max);
  TRUNKLINE_LIMIT(peers_per_trunk_max);
  TRUNKLINE_LIMIT(handshakes_max);
  TRUNKLINE_LIMIT(handshakes_per_host_max);
  TRUNKLINE_LIMIT(connect_deadline);
}

void add_limits(LimitTable& table, NetworkOptions& options) {
  add_limits(table, options.node);
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
}

#undef TRUNKLINE_LIMIT

} // namespace trunkline::cli
