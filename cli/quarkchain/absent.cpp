// trunkline quarkchain in a program that was built without it: it says so.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"

#include <CLI/CLI.hpp>

namespace trunkline::cli {

Command add_quarkchain(CLI::App& program) {
  CLI::App* const command = program.add_subcommand("quarkchain", "The QuarkChain cluster protocol: not in this build");
  command->allow_extras();
  return {command, []() -> int {
            throw UsageError("quarkchain: this program was built without it (meson configure -Dquarkchain=true)");
          }};
}

} // namespace trunkline::cli
