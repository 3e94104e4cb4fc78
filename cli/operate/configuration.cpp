#include "cli/operate/configuration.hpp"

#include "cli/exit_code.hpp"
#include "cli/nearest.hpp"
#include "cli/operate/limits.hpp"
#include "fragment/input_file.hpp"
#include "services/sync/disk.hpp"
#include "services/sync/path.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <system_error>
#include <utility>

namespace trunkline::cli {
namespace {

constexpr const char* limits_table = "limits"; // its keys are options of their own, limits.NAME
constexpr const char* limit_option = "limit";
constexpr const char* given_option = "given-on-the-command-line"; // from one parsing to the next

/// Not those that say something about this one run.
bool is_setting(const CLI::Option& option) {
  if (option.get_lnames().empty()) return false;
  const std::string& name = option.get_lnames().front();
  return name != "config" && name != "print-config" && name != "help" && name != given_option;
}

bool is_limit(std::string_view name) { return name.starts_with(limit_prefix); }

const CLI::Option* setting_named(const CLI::App& command, const std::string& name) {
  const CLI::Option* const option = command.get_option_no_throw("--" + name);
  return option && is_setting(*option) ? option : nullptr;
}

std::string limit_of_word(const std::string& word) {
  return std::string(limit_prefix) + word.substr(0, word.find('='));
}

/// Whether --a_b is to be told from --a-b, whose variable it is: flags of other programs that say nothing here.
bool variable_of_another(const CLI::App& command, std::string name) {
  if (name.find('_') == std::string::npos) return false;
  std::ranges::replace(name, '_', '-');
  return setting_named(command, name) != nullptr;
}

bool takes_no_value(const CLI::Option& option) { return option.get_expected_max() == 0; }
bool takes_several(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

/// In words that do not depend on the value.
std::string_view type_name_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string: return "a text";
    case toml::node_type::integer: return "a number";
    case toml::node_type::floating_point: return "a number";
    case toml::node_type::boolean: return "true or false";
    case toml::node_type::array: return "a list";
    case toml::node_type::table: return "a table";
    default: return "a date or time";
  }
}

class ConfigurationFile {
 public:
  ConfigurationFile(const std::string& path, const CLI::App& command) : path_(path), command_(command) {}

  Settings read() {
    std::string text;
    try {
      text = content_of_file(path_);
    } catch (const std::system_error& failure) {
      throw sync::FileError("read", path_, failure.code().value());
    }
    try {
      for (const auto& [key, node] : toml::parse(text, path_)) add(std::string(key.str()), key, node);
    } catch (const toml::parse_error& wrong) {
      throw UsageError(fmt::format("{}:{}: {}", path_, wrong.source().begin.line, sync::printable_sentence(wrong.description())));
    }
    return std::move(settings_);
  }

 private:
  [[noreturn]] void refuse(std::size_t line, const std::string& why) const {
    throw UsageError(fmt::format("{}:{}: {}", path_, line, why));
  }

  void add(const std::string& name, const toml::key& key, const toml::node& node) {
    const std::size_t line = key.source().begin.line;
    if (name == limits_table && node.is_table() && setting_named(command_, limit_option))
      return add_limits(*node.as_table(), std::string(limit_prefix));
    const CLI::Option* const option = setting_named(command_, name);
    if (!option) {
      std::vector<std::string> names;
      for (const CLI::Option* const known : command_.get_options([](const CLI::Option*) { return true; }))
        if (is_setting(*known) && !is_limit(known->get_lnames().front())) names.push_back(known->get_lnames().front());
      const std::vector<std::string_view> views(names.begin(), names.end());
      refuse(line, fmt::format("{} has no setting \"{}\"{}", command_.get_name(), sync::printable(name), did_you_mean(name, views)));
    }
    settings_[name] = setting_of(name, *option, node, line);
  }

  Setting setting_of(const std::string& name, const CLI::Option& option, const toml::node& node, std::size_t line) const {
    Setting setting;
    setting.line = line;
    const std::optional<bool> flag = node.is_boolean() ? node.value<bool>() : std::nullopt;
    if (takes_no_value(option)) {
      if (!flag) refuse(line, fmt::format("{}: expected true or false, seen {}", name, type_name_of(node)));
      setting.is_set = *flag;
    } else if (flag) {
      if (option.get_expected_min() > 0) refuse(line, fmt::format("{}: expected a value, seen true or false", name));
      setting.is_set = *flag; // an option that may have a value, and has none
    } else if (const toml::array* const list = node.as_array()) {
      if (!takes_several(option)) refuse(line, fmt::format("{}: expected one value, seen a list", name));
      for (const toml::node& item : *list) setting.values.push_back(value_of(name, item, line));
      setting.is_set = !setting.values.empty();
    } else {
      setting.values.push_back(value_of(name, node, line));
    }
    return setting;
  }

  std::string value_of(const std::string& name, const toml::node& node, std::size_t line) const {
    if (const auto* const text = node.as_string()) return text->get();
    if (const auto* const number = node.as_integer()) return std::to_string(number->get());
    if (const auto* const number = node.as_floating_point()) return fmt::format("{}", number->get());
    refuse(line, fmt::format("{}: expected a text or a number, seen {}", name, type_name_of(node)));
  }

  /// Some names have a dot in them, and so are tables in the table.
  void add_limits(const toml::table& limits, const std::string& prefix) {
    for (const auto& [key, node] : limits) {
      const std::string name = prefix + std::string(key.str());
      const std::size_t line = key.source().begin.line;
      if (const toml::table* const inner = node.as_table()) {
        add_limits(*inner, name + ".");
        continue;
      }
      const CLI::Option* const option = setting_named(command_, name);
      if (!option) refuse_limit(name.substr(limit_prefix.size()), line);
      settings_[name] = setting_of(name, *option, node, line);
    }
  }

  [[noreturn]] void refuse_limit(const std::string& name, std::size_t line) const {
    std::vector<std::string> names;
    for (const CLI::Option* const known : command_.get_options([](const CLI::Option*) { return true; }))
      if (is_limit(known->get_lnames().empty() ? "" : known->get_lnames().front()))
        names.push_back(known->get_lnames().front().substr(limit_prefix.size()));
    const std::vector<std::string_view> views(names.begin(), names.end());
    refuse(line, fmt::format("there is no limit \"{}\"{}", sync::printable(name), did_you_mean(name, views)));
  }

  const std::string& path_;
  const CLI::App& command_;
  Settings settings_;
};

/// Where the value of an option came from, and the words that say it to CLI11.
struct Found {
  std::string origin;
  std::vector<std::string> words;
};

class Parsing {
 public:
  Parsing(CLI::App& program, int argc, const char* const* argv) : program_(program), words_(argv + 1, argv + argc) {}

  std::optional<int> run() {
    parse_command_line();
    const CLI::App& command = reached_by(program_);
    if (!command.get_option_no_throw("--config")) return rethrow();
    find_in_environment(command);
    find_in_file(command);
    if (!found_.empty() || has_more_words_) parse_all(command);
    if (command.count("--print-config") > 0) {
      print(command);
      return static_cast<int>(ExitCode::equal);
    }
    return rethrow();
  }

 private:
  /// What is missing may stand elsewhere; what is wrong stays wrong.
  void parse_command_line() {
    try {
      parse(words_);
    } catch (const CLI::RequiredError&) {
      failure_ = std::current_exception();
    } catch (const CLI::RequiresError&) {
      failure_ = std::current_exception();
    }
    for (const CLI::Option* const option : reached_by(program_).get_options([](const CLI::Option*) { return true; }))
      if (is_setting(*option) && option->count() > 0) give(*option);
  }

  void give(const CLI::Option& option) {
    given_.push_back(option.get_lnames().front());
    if (given_.back() != limit_option) return;
    for (const std::string& word : option.results()) given_.push_back(limit_of_word(word));
  }

  void parse(std::vector<std::string> words) {
    std::ranges::reverse(words); // as CLI11 has it
    program_.parse(std::move(words));
  }

  bool is_given(const std::string& name) const {
    return std::ranges::find(given_, name) != given_.end() || found_.contains(name);
  }

  void find_in_environment(const CLI::App& command) {
    for (const CLI::Option* const option : command.get_options([](const CLI::Option*) { return true; })) {
      if (!is_setting(*option)) continue;
      const std::string& name = option->get_lnames().front();
      const std::string variable = variable_of(name);
      if (variable_of_another(command, name)) continue;
      const char* const value = std::getenv(variable.c_str());
      if (!value || is_given(name)) continue;
      Found& found = found_[name];
      found.origin = variable;
      if (name == limit_option) found_[limit_of_word(value)].origin = variable; // said by that word
      if (!takes_no_value(*option)) found.words = {"--" + name + "=" + value};
      else if (std::string_view(value) == "true" || std::string_view(value) == "1") found.words = {"--" + name};
      else if (std::string_view(value) != "false" && std::string_view(value) != "0")
        throw UsageError(variable + ": expected true or false, seen \"" + sync::printable(value) + "\"");
    }
  }

  void find_in_file(const CLI::App& command) {
    const CLI::Option& option = *command.get_option("--config");
    std::string path = option.count() > 0 ? option.results().back() : std::string();
    if (const char* const configured = std::getenv("TRUNKLINE_CONFIG"); path.empty() && configured) {
      path = configured;
      if (!path.empty()) words_.push_back("--config=" + path);
    }
    if (path.empty()) return;
    has_more_words_ = true;
    for (const auto& [name, setting] : read_configuration(path, command)) {
      if (is_given(name)) continue;
      Found& found = found_[name];
      found.origin = path + ":" + std::to_string(setting.line);
      if (!setting.is_set) continue;
      if (setting.values.empty()) found.words.push_back("--" + name);
      for (const std::string& value : setting.values) found.words.push_back("--" + name + "=" + value);
    }
  }

  void parse_all(const CLI::App& command) {
    std::vector<std::string> words = words_;
    if (command.get_option_no_throw(std::string("--") + given_option))
      for (const std::string& name : given_) words.push_back(std::string("--") + given_option + "=" + name);
    for (const auto& [name, found] : found_) words.insert(words.end(), found.words.begin(), found.words.end());
    failure_ = nullptr;
    try {
      parse(words);
    } catch (const CLI::RequiredError&) {
      failure_ = std::current_exception();
    } catch (const CLI::RequiresError&) {
      failure_ = std::current_exception();
    } catch (const CLI::ParseError& wrong) {
      std::string text = wrong.what();
      if (text.starts_with(": ")) text.erase(0, 2); // of an option that is in no help
      for (const auto& [name, found] : found_)
        if (text.find("--" + name + ":") != std::string::npos || text.find("--" + name + " ") != std::string::npos)
          throw UsageError(found.origin + ": " + sync::printable_sentence(text));
      throw;
    }
  }

  std::optional<int> rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
    return std::nullopt;
  }

  static std::string literal(const std::string& value) {
    const bool is_number = !value.empty() && value.size() < 18 && value.find_first_not_of("0123456789") == std::string::npos &&
                           (value == "0" || value[0] != '0');
    if (is_number) return value;
    std::string text = "\"";
    for (const char letter : value) {
      const auto byte = static_cast<unsigned char>(letter);
      if (letter == '"' || letter == '\\') text += '\\';
      if (byte < 0x20 || byte == 0x7f) text += fmt::format("\\u{:04X}", byte);
      else text += letter;
    }
    return text + "\"";
  }

  std::string origin_of(const std::string& name) const {
    const auto found = found_.find(name);
    if (found != found_.end()) return found->second.origin;
    return std::ranges::find(given_, name) != given_.end() ? "command line" : "default";
  }

  static void print_setting(const CLI::Option& option, const std::string& origin) {
    const std::string& name = option.get_lnames().front();
    std::string value;
    if (takes_no_value(option)) {
      value = option.count() > 0 ? "true" : "false";
    } else if (option.count() == 0) {
      if (option.get_default_str().empty()) {
        fmt::print("# {} is not set\n", name);
        return;
      }
      value = literal(option.get_default_str());
    } else if (takes_several(option)) {
      for (const std::string& one : option.results()) value += (value.empty() ? "[" : ", ") + literal(one);
      value += "]";
    } else if (const std::string& last = option.results().back(); last.empty() && option.get_expected_min() == 0) {
      value = "true";
    } else {
      value = literal(last);
    }
    fmt::print("{} = {} # {}\n", is_limit(name) ? name.substr(limit_prefix.size()) : name, value, origin);
  }

  void print_limit(const CLI::App& command, const CLI::Option& option) const {
    const std::string& name = option.get_lnames().front();
    const std::vector<std::string> words = command.get_option(std::string("--") + limit_option)->results();
    const auto said = std::find_if(words.rbegin(), words.rend(), [&](const std::string& word) { return limit_of_word(word) == name; });
    if (said == words.rend()) return print_setting(option, origin_of(name));
    fmt::print("{} = {} # {}\n", name.substr(limit_prefix.size()), literal(said->substr(said->find('=') + 1)), origin_of(name));
  }

  void print(const CLI::App& command) const {
    std::vector<const CLI::Option*> limits;
    for (const CLI::Option* const option : command.get_options([](const CLI::Option*) { return true; })) {
      if (!is_setting(*option) || option->get_lnames().front() == limit_option) continue;
      if (is_limit(option->get_lnames().front())) limits.push_back(option);
      else print_setting(*option, origin_of(option->get_lnames().front()));
    }
    if (failure_) fmt::print("# what is missing: {}\n", sync::printable_sentence(words_of_failure()));
    if (!limits.empty()) fmt::print("\n[{}]\n", limits_table);
    for (const CLI::Option* const option : limits) print_limit(command, *option);
    if (std::fflush(stdout) != 0) throw sync::FileError("write", "standard output", errno);
  }

  std::string words_of_failure() const {
    try {
      std::rethrow_exception(failure_);
    } catch (const std::exception& thrown) {
      return thrown.what();
    }
  }

  CLI::App& program_;
  std::vector<std::string> words_;
  bool has_more_words_ = false; // than the command line: a file, at least
  std::vector<std::string> given_; // on the command line, by name
  std::map<std::string, Found> found_; // elsewhere
  std::exception_ptr failure_;
};

} // namespace

void add_configuration_options(CLI::App& command, ConfigurationOptions& options) {
  constexpr const char* group = "Operating";
  options.command = &command;
  command
      .add_option("--config", options.file,
                  "Read settings from this file, in TOML: the names of options without --; also TRUNKLINE_CONFIG")
      ->type_name("FILE")
      ->group(group);
  command.add_flag("--print-config", options.prints, "Print all settings and where each comes from, and end")->group(group);
  command.add_option(std::string("--") + given_option, options.given)->allow_extra_args(false)->group("");
}

std::string variable_of(const std::string& name) {
  std::string variable = "TRUNKLINE_" + name;
  for (char& letter : variable)
    letter = letter == '-' || letter == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return variable;
}

Settings read_configuration(const std::string& path, const CLI::App& command) {
  return ConfigurationFile(path, command).read();
}

std::optional<int> parse_with_configuration(CLI::App& program, int argc, const char* const* argv) {
  return Parsing(program, argc, argv).run();
}

const CLI::App& reached_by(const CLI::App& program) {
  const CLI::App* reached = &program;
  while (!reached->get_subcommands().empty()) reached = reached->get_subcommands().front();
  return *reached;
}

} // namespace trunkline::cli
