// A subcommand of the program: its options, and what it does when they are read.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace trunkline::cli {

struct Command {
  CLI::App* options = nullptr;
  std::function<int()> run; // returns the exit code; exceptions become one line and a code in main
};

// One for each file cli/NAME.cpp.
Command add_key(CLI::App& program);
Command add_net(CLI::App& program);
Command add_quarkchain(CLI::App& program);
Command add_serve(CLI::App& program);
Command add_sync(CLI::App& program);
Command add_top(CLI::App& program);

// Below quarkchain.
Command add_quarkchain_call(CLI::App& quarkchain);
Command add_quarkchain_check(CLI::App& quarkchain);
Command add_quarkchain_decode(CLI::App& quarkchain);
Command add_quarkchain_encode(CLI::App& quarkchain);
Command add_quarkchain_master(CLI::App& quarkchain);
Command add_quarkchain_slave(CLI::App& quarkchain);
Command add_quarkchain_state(CLI::App& quarkchain);
Command add_quarkchain_checkdb(CLI::App& quarkchain);

} // namespace trunkline::cli
