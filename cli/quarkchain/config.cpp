#include "cli/quarkchain/config.hpp"

#include "cli/exit_code.hpp"
#include "fragment/input_file.hpp"
#include "services/quarkchain/chain/unread_settings.hpp"
#include "services/sync/disk.hpp"

#include <CLI/CLI.hpp>

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <optional>
#include <string_view>
#include <system_error>

namespace trunkline::cli {

using namespace quarkchain;

namespace {

std::optional<std::string> content_of(const std::string& path) {
  try {
    return content_of_file(path);
  } catch (const std::system_error& failure) {
    errno = failure.code().value();
    return std::nullopt;
  }
}

std::vector<std::pair<std::string, std::string>> environment() {
  std::vector<std::pair<std::string, std::string>> variables;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) variables.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

} // namespace

IgnoredFlags add_ignored_flags(CLI::App& command) {
  IgnoredFlags flags;
  for (const char* name : {"log_level",
                           "genesis_dir",
                           "num_chains",
                           "base_eth_chain_id",
                           "num_shards_per_chain",
                           "root_block_interval_sec",
                           "minor_block_interval_sec",
                           "network_id",
                           "default_token",
                           "num_slaves",
                           "port_start",
                           "db_path_root",
                           "p2p_port",
                           "json_rpc_port",
                           "json_rpc_private_port",
                           "json_rpc_host",
                           "json_rpc_private_host",
                           "enable_public_json_rpc",
                           "enable_private_json_rpc",
                           "simple_network_bootstrap_host",
                           "simple_network_bootstrap_port",
                           "max_peers",
                           "bootnodes",
                           "privkey",
                           "check_db",
                           "prom_interval",
                           "prom_tokens",
                           "prom_port",
                           "monitoring_kafka_rest_address",
                           "enable_profiler",
                           "check_db_rblock_from",
                           "check_db_rblock_to",
                           "check_db_rblock_batch"}) {
    const auto& [flag, value] = flags.values.emplace_back(std::string("--") + name, std::make_shared<std::string>());
    command.add_option(flag, *value)->group("");
  }
  for (const char* name : {"clean", "start_simulated_mining", "enable_transaction_history", "p2p", "upnp",
                           "enable_prometheus", "enable_count_balance"}) {
    const auto& [flag, value] = flags.switches.emplace_back(std::string("--") + name, std::make_shared<bool>(false));
    command.add_flag(flag, *value)->group("");
  }
  return flags;
}

std::vector<std::string> IgnoredFlags::given() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : values)
    if (!value->empty()) names.push_back(name);
  for (const auto& [name, value] : switches)
    if (*value) names.push_back(name);
  return names;
}

LoadedConfig load_cluster_config(const std::string& path) {
  errno = 0;
  const std::optional<std::string> text = content_of(path);
  if (!text) throw sync::FileError("read", path, errno != 0 ? errno : EISDIR);
  LoadedConfig loaded;
  try {
    Json json = Json::parse(*text);
    apply_environment(json, environment());
    loaded.config = ClusterConfig::from_json(json);
    loaded.unread = unread_settings(json);
    const std::string directory = loaded.config.genesis_dir;
    if (!directory.empty())
      loaded.notes = add_genesis_accounts(loaded.config.quarkchain,
                                          [&](const std::string& name) { return content_of(directory + "/" + name); });
  } catch (const JsonError& failure) {
    throw UsageError(path + ": " + failure.what());
  } catch (const ConfigFailure& failure) {
    throw UsageError(path + ": " + failure.what());
  }
  return loaded;
}

LogLevel log_level_of(const ClusterConfig& config) {
  std::string name = config.log_level;
  std::ranges::transform(name, name.begin(), [](unsigned char letter) { return std::tolower(letter); });
  if (name == "debug") return LogLevel::debug;
  if (name == "info") return LogLevel::info;
  if (name == "warning") return LogLevel::warning;
  if (name == "error" || name == "critical") return LogLevel::error;
  throw UsageError("LOG_LEVEL: expected debug, info, warning, error or critical, seen \"" + config.log_level + "\"");
}

} // namespace trunkline::cli
