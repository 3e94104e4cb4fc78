// Settings of a program from elsewhere than its command line: the environment, and a file in TOML.
#pragma once

#include "cli/logger.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace trunkline::cli {

class Operation;

struct ConfigurationOptions {
  std::string file;         // empty: none
  bool prints = false;      // --print-config
  const CLI::App* command = nullptr;
};

/// Adds --config and --print-config. Call it after all other options of the command have been added: each of them then is
/// a key of the file, and a variable of the environment, TRUNKLINE_LOG_LEVEL for --log-level.
void add_configuration_options(CLI::App& command, ConfigurationOptions& options);

/// One key of a file, as the command line would have it: its values, and where it stands.
struct Setting {
  std::vector<std::string> values; // of a flag: none
  bool is_set = true;              // false: `flag = false`
  std::size_t line = 0;
};

/// Reads the keys of a file. Errors: UsageError that names file, line, what was expected and what was seen; unknown keys
/// too. sync::FileError.
std::map<std::string, Setting, std::less<>> read_configuration(const std::string& path, const CLI::App& command);

/// Parses the command line. What it does not say is taken from the environment, and then from the file. Returns what the
/// program ends with where it was asked for the settings alone. Errors: CLI::ParseError; as read_configuration.
std::optional<int> parse_with_configuration(CLI::App& program, int argc, const char* const* argv);

/// SIGHUP reads the file again: log-level is taken, and of every other key that has changed it is said that the program
/// has to be started again for it. `usual`: the level where neither says one.
void follow_configuration(const ConfigurationOptions& options, Operation& operation, const Logger& logger, LogLevel usual);

/// The command that was reached, and all above it.
const CLI::App& reached_by(const CLI::App& program);

} // namespace trunkline::cli
