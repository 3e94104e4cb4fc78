// What an operator can ask of a running master, one line each.
#pragma once

#include "async/types.hpp"
#include "services/quarkchain/master/master_node.hpp"
#include "services/quarkchain/ledger/root_chain.hpp"

#include <memory>
#include <string>

namespace trunkline::cli {

struct Operated {
  quarkchain::MasterNode& master;
  quarkchain::RootChain& chain;
  const quarkchain::ClusterConfig& config;
  Duration request_deadline; // zero: none
  bool json = false;         // what is printed
};

/// Does what the line says and returns what to print, with its line ends. Errors: UsageError for what is no command;
/// std::runtime_error in words for what was refused or could not be done.
awaitable<std::string> obey(Operated* operated, std::string line);

/// "quit" and its like.
bool means_quit(const std::string& line);

/// One line per command, for --help and `help`.
std::string commands_text();

} // namespace trunkline::cli
