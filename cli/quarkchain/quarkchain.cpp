// trunkline quarkchain: what has to do with QuarkChain, one subcommand each.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"

#include <CLI/CLI.hpp>

#include <vector>

namespace trunkline::cli {

Command add_quarkchain(CLI::App& program) {
  CLI::App* const command = program.add_subcommand("quarkchain", "The QuarkChain cluster protocol");
  command->require_subcommand(1);
  const std::vector<Command> below = {add_quarkchain_master(*command), add_quarkchain_slave(*command),
                                      add_quarkchain_call(*command),   add_quarkchain_decode(*command),
                                      add_quarkchain_encode(*command), add_quarkchain_check(*command),
                                      add_quarkchain_state(*command),  add_quarkchain_checkdb(*command)};
  command->footer("Example:\n  trunkline quarkchain decode recorded.pcap");
  return {command, [below] {
            for (const Command& one : below)
              if (one.options->parsed()) return one.run();
            throw UsageError("quarkchain: a command is required");
          }};
}

} // namespace trunkline::cli
