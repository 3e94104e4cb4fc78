// trunkline net: messages to nodes by channel, what nodes say of themselves, and who a broadcast reaches.
#include "cli/net.hpp"

#include <CLI/CLI.hpp>

#include <vector>

namespace trunkline::cli {

Command add_net(CLI::App& program) {
  CLI::App* const net = program.add_subcommand("net", "Channels between nodes, and the tree of a broadcast");
  net->require_subcommand(1);
  net->footer(
      "trunkline net COMMAND --help tells about one command.\n\nExample:\n  trunkline net tree --size 27 --dead 10");
  const std::vector<Command> commands = {add_net_tree(*net)};
  return {net, [commands] {
            for (const Command& command : commands)
              if (command.options->parsed()) return command.run();
            return 1; // require_subcommand has refused it
          }};
}

} // namespace trunkline::cli
