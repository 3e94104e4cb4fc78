#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "services/sync/path.hpp"

#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

using namespace trunkline::cli;

namespace {

int end_with(ExitCode code, const std::string& line) {
  std::fprintf(stderr, "trunkline: %s\n", line.c_str());
  return static_cast<int>(code);
}

std::string no_command(const std::vector<Command>& commands, int argc, char** argv) {
  std::string names;
  for (const Command& command : commands) names += (names.empty() ? "" : ", ") + command.options->get_name();
  const std::string seen = argc > 1 ? "\"" + trunkline::sync::printable(argv[1]) + "\"" : "nothing";
  return "expected one of the commands " + names + ", saw " + seen;
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN); // a file that may not grow further is an error of that file

  CLI::App program("Circuits between symmetric peers, and what is built on them", "trunkline");
  program.set_version_flag("--version", "trunkline " TRUNKLINE_VERSION);
  program.require_subcommand(1);
  program.get_formatter()->column_width(34);
  program.footer(std::string("trunkline COMMAND --help tells about one command.\n\nExample:\n"
                             "  trunkline sync photos tcp://127.0.0.1:7000/photos\n\n") +
                 exit_codes_text);
  const std::vector<Command> commands = {add_serve(program), add_sync(program), add_net(program),
                                         add_quarkchain(program)};

  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& wanted) { // --help, --version
    return program.exit(wanted);
  } catch (const CLI::ParseError& wrong) {
    std::string line = program.get_subcommands().empty() ? no_command(commands, argc, argv) : wrong.what();
    for (char& letter : line)
      if (letter == '\n') letter = ' ';
    return end_with(ExitCode::usage, line + " (see trunkline --help)");
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
