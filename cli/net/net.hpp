// The subcommands of `trunkline net`, one file each, and what their nodes have in common.
#pragma once

#include "async/types.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/identity.hpp"
#include "cli/logger.hpp"
#include "peer/channel/network.hpp"
#include "transport/socket_options.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::cli {

class Operation;
class RunningConfiguration;
struct AdminOptions;
struct LimitOptions;

Command add_net_broadcast(CLI::App& net);
Command add_net_listen(CLI::App& net);
Command add_net_peers(CLI::App& net);
Command add_net_send(CLI::App& net);
Command add_net_stats(CLI::App& net);
Command add_net_tree(CLI::App& net);

extern const char* const net_exit_codes_text;

/// What the program ends with when a message was not sent for this reason.
ExitCode exit_code_of(SendError error);

/// What the options of a program that listens say.
struct ListeningNetwork {
  NetworkOptions network;
  std::vector<std::string> addresses;
  TcpOptions tcp;
  IdentityOptions& identity;
  AdminOptions& admin;
  LimitOptions& limits;
  Logger logger;
  RunningConfiguration& running;
};

/// Starts a network that listens nowhere, runs `work` with it, and stops it. The network is given as a pointer, since
/// work is a coroutine. Errors: what work throws.
/// The identity is that of a node that dials these addresses; they are checked. Errors also: UsageError.
int run_with_network(NetworkOptions options, const IdentityOptions& identity, const std::vector<std::string>& addresses,
                     std::function<awaitable<ExitCode>(std::shared_ptr<Network>)> work);
/// The same for one that listens on them; they were checked. It runs until its operator ends it.
int run_listening_network(ListeningNetwork settings,
                          std::function<awaitable<ExitCode>(std::shared_ptr<Network>, Operation*)> work);

/// The message on the command line, or all of the standard input.
std::string message_of(bool given, const std::string& text);

} // namespace trunkline::cli
