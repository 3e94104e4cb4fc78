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
Command add_net(CLI::App& program);
Command add_serve(CLI::App& program);
Command add_sync(CLI::App& program);

} // namespace trunkline::cli
