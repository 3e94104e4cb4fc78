#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/nearest.hpp"
#include "cli/operate/configuration.hpp"
#include "cli/standard_files.hpp"
#include "services/sync/path.hpp"
#include "trunkline/version.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace trunkline::cli;

namespace {

int end_with(ExitCode code, const std::string& line) {
  std::fprintf(stderr, "trunkline: %s\n", line.c_str());
  return static_cast<int>(code);
}

/// The command that was reached, as "trunkline net send".
std::string name_of(const CLI::App& reached) {
  return reached.get_parent() ? name_of(*reached.get_parent()) + " " + reached.get_name() : reached.get_name();
}

/// A command that is to be followed by another one, and was not.
std::string no_command(const CLI::App& reached, int argc, char** argv) {
  std::vector<std::string> names;
  for (const CLI::App* const command : reached.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  int at = 1;
  for (const CLI::App* app = &reached; app->get_parent(); app = app->get_parent()) ++at;
  const std::string seen = argc > at ? trunkline::sync::printable(argv[at]) : "";
  const std::vector<std::string_view> known(names.begin(), names.end());
  return fmt::format("expected one of the commands {}, saw {}{}", fmt::join(names, ", "),
                     seen.empty() ? "nothing" : "\"" + seen + "\"", did_you_mean(seen, known));
}

/// What is wrong with the words. What was not understood comes before what is missing: it may be that, misspelt.
std::string wrong_with(const CLI::App& reached, const CLI::ParseError& wrong) {
  for (const std::string& word : reached.remaining()) {
    if (!word.starts_with('-') || word == "-" || word == "--") continue;
    const std::string name = word.substr(0, word.find('='));
    std::vector<std::string> names;
    for (const CLI::Option* const option : reached.get_options([](const CLI::Option*) { return true; }))
      for (const std::string& long_name : option->get_lnames()) names.push_back("--" + long_name);
    const std::vector<std::string_view> known(names.begin(), names.end());
    return fmt::format("there is no option {}{}", trunkline::sync::printable(name),
                       name.starts_with("--") && name.size() > 3 ? did_you_mean(name, known) : "");
  }
  return wrong.what();
}

} // namespace

int main(int argc, char** argv) {
  occupy_standard_files();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN); // a file that may not grow further is an error of that file

  CLI::App program("Circuits between symmetric peers, and what is built on them", "trunkline");
  program.set_version_flag("--version", "trunkline " TRUNKLINE_VERSION_STRING);
  program.require_subcommand(1);
  program.get_formatter()->column_width(34);
  program.footer(std::string("trunkline COMMAND --help tells about one command.\n\nExample:\n"
                             "  trunkline sync photos tcp://127.0.0.1:7000/photos\n\n") +
                 exit_codes_text);
  const std::vector<Command> commands = {add_serve(program), add_sync(program), add_key(program),
                                         add_net(program), add_top(program), add_quarkchain(program)};

  try {
    if (const std::optional<int> code = parse_with_configuration(program, argc, argv)) return *code;
  } catch (const CLI::Success& wanted) { // --help, --version
    return program.exit(wanted);
  } catch (const CLI::ParseError& wrong) {
    const CLI::App& reached = reached_by(program);
    std::string line =
        reached.get_require_subcommand_min() > 0 ? no_command(reached, argc, argv) : wrong_with(reached, wrong);
    for (char& letter : line)
      if (letter == '\n') letter = ' ';
    return end_with(ExitCode::usage, line + " (see " + name_of(reached) + " --help)");
  } catch (...) { // of a configuration file
    const std::exception_ptr failure = std::current_exception();
    return end_with(exit_code_of(failure), line_of(failure));
  }

  for (const Command& command : commands) {
    if (!command.options->parsed()) continue;
    try {
      return command.run();
    } catch (...) {
      const std::exception_ptr failure = std::current_exception();
      return end_with(exit_code_of(failure), line_of(failure));
    }
  }
  return end_with(ExitCode::usage, "a command is required (see trunkline --help)");
}
