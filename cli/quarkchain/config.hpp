// The configuration of a cluster, as pyquarkchain's processes are given it: a file, the environment, files of accounts.
#pragma once

#include "peer/node.hpp"
#include "services/quarkchain/chain/config.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
}

namespace trunkline::cli {

/// Options that pyquarkchain's scripts have and that say nothing next to a file: they are taken, and named in a note.
struct IgnoredFlags {
  std::vector<std::string> given() const;

  std::vector<std::pair<std::string, std::shared_ptr<std::string>>> values;
  std::vector<std::pair<std::string, std::shared_ptr<bool>>> switches;
};
IgnoredFlags add_ignored_flags(CLI::App& command);

struct LoadedConfig {
  quarkchain::ClusterConfig config;
  std::vector<std::string> notes; // what was left out, one phrase each
  std::vector<std::string> unread; // settings that nobody looks at
};

/// Reads the file, applies QKC__... variables of the environment, adds the accounts of GENESIS_DIR. Errors:
/// sync::FileError; UsageError that names the file, the key, what was expected and what was seen.
LoadedConfig load_cluster_config(const std::string& path);

/// What LOG_LEVEL shows. Errors: UsageError that names the key.
LogLevel log_level_of(const quarkchain::ClusterConfig& config);

} // namespace trunkline::cli
