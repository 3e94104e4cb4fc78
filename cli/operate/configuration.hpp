// Settings of a program from elsewhere than its command line: the environment, and a file in TOML.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace trunkline::cli {

struct ConfigurationOptions {
  std::string file;               // empty: none
  bool prints = false;            // --print-config
  CLI::App* command = nullptr;    // whose options the keys are
  std::vector<std::string> given; // by the command line, where there is a file
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

using Settings = std::map<std::string, Setting, std::less<>>; // those of the table limits begin with "limits."

/// TRUNKLINE_LOG_LEVEL for "log-level".
std::string variable_of(const std::string& name);

/// Reads the keys of a file. Errors: UsageError that names file, line, what was expected and what was seen; unknown keys
/// too. sync::FileError.
Settings read_configuration(const std::string& path, const CLI::App& command);

/// Parses the command line. What it does not say is taken from the environment, and then from the file. Returns what the
/// program ends with where it was asked for the settings alone. Errors: CLI::ParseError; as read_configuration.
std::optional<int> parse_with_configuration(CLI::App& program, int argc, const char* const* argv);

/// The command that was reached, and all above it.
const CLI::App& reached_by(const CLI::App& program);

} // namespace trunkline::cli
