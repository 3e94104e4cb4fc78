// trunkline quarkchain call: any opcode as JSON to a node, its reply as JSON.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/location.hpp"
#include "cli/quarkchain/request_line.hpp"
#include "services/quarkchain/cluster/cluster_connection.hpp"
#include "services/quarkchain/protocol/frame_json.hpp"
#include "services/quarkchain/protocol/route.hpp"
#include "services/sync/disk.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

using namespace quarkchain;

struct CallOptions {
  std::string address;
  std::vector<std::string> words; // OP [JSON]...
  std::string framing = "cluster";
  std::string branch;
  std::uint64_t peer = 0;
  double seconds = 10;
  bool blank = false;
  bool verbose = false;

  Framing framing_read = Framing::cluster;
  Route peer_route; // of opcodes between clusters
};

std::chrono::milliseconds deadline_of(const CallOptions& options) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(options.seconds * 1000));
}

// The command line.

std::uint32_t parse_branch(const std::string& text) {
  const bool hex = text.starts_with("0x");
  const char* const first = text.data() + (hex ? 2 : 0);
  const char* const last = text.data() + text.size();
  std::uint32_t branch = 0;
  const auto [end, failure] = std::from_chars(first, last, branch, hex ? 16 : 10);
  if (failure != std::errc() || end != last || branch == 0)
    throw UsageError("--branch: expected a full shard id, as 65537 or 0x00010001, seen \"" + text + "\"");
  return branch;
}

void read_route(CallOptions& options) {
  const auto framing = framing_named(options.framing);
  if (!framing) throw UsageError("--framing: expected cluster, slave or p2p, seen \"" + options.framing + "\"");
  options.framing_read = *framing;
  const bool shard = !options.branch.empty();
  if (options.peer != 0 && *framing != Framing::cluster)
    throw UsageError("--peer: connections of the framing " + options.framing + " have no virtual peers");
  if (shard && *framing == Framing::slave) throw UsageError("--branch: connections of the framing slave have none");
  if (*framing == Framing::cluster && (options.peer != 0) != shard)
    throw UsageError(shard ? "--branch: expected --peer with it, seen none"
                           : "--peer: expected --branch with it, seen none");
  options.peer_route = Route(shard ? parse_branch(options.branch) : 0, options.peer);
}

/// The likelier one first.
std::vector<OpTable> tables_of(const CallOptions& options) {
  if (options.framing_read == Framing::p2p) return {OpTable::command};
  if (options.framing_read == Framing::slave) return {OpTable::cluster};
  return {OpTable::cluster, OpTable::command};
}

std::vector<Asked> read_words(const CallOptions& options) {
  std::vector<Asked> all = read_asked(tables_of(options), options.words);
  if (all.empty()) throw UsageError("an opcode is required (see trunkline quarkchain call --help)");
  for (const Asked& asked : all)
    if (asked.table == OpTable::command && options.framing_read == Framing::cluster && options.peer_route.is_control())
      throw UsageError(asked.text() + " is said between clusters: expected --peer and --branch, seen none");
  return all;
}

void print(std::FILE* to, const std::string& line) {
  std::fwrite(line.data(), 1, line.size(), to);
  std::fputc('\n', to);
  if (std::fflush(to) != 0) throw sync::FileError("write", "the output", errno);
}

// The far side may ask, too: a slave reports its headers while it is being pinged.

awaitable<Payload> acknowledge(RpcRequest request, const OpInfo* op, bool verbose) {
  const std::string& from = request.circuit->remote();
  if (verbose)
    print(stderr,
          fmt::format("{} asks {} {}: {}", from, op->code, op->name, fields_text(*op, request.payload.bytes(), from)));
  Payload reply = op->fallback(0);
  co_return reply;
}

awaitable<void> leave(RpcRequest) { co_return; }

/// Answers what a slave reports with success, hears commands, and takes everything else for a reply.
std::shared_ptr<RpcServer> server_for(OpTable table, bool verbose, const LogSink& log) {
  const auto server = std::make_shared<RpcServer>("far side", RpcLimits(), log);
  for (const OpInfo& op : ops(table)) {
    const std::string name(op.name);
    const bool report = op.op_class == OpClass::request && (op.senders & from_slave) != 0;
    if (op.op_class == OpClass::command) server->hear(op.code, name, &leave);
    else if (report)
      server->serve(op.code, name, op.reply,
                    [op = &op, verbose](RpcRequest request) { return acknowledge(std::move(request), op, verbose); });
    else server->know(op.code, name);
  }
  return server;
}

// The calls.

[[noreturn]] void throw_unanswered(const Asked& asked, const CallOptions& options,
                                   const boost::system::system_error& failure) {
  const std::string& address = options.address;
  if (failure.code() == error::timed_out)
    throw_error(error::timed_out,
                fmt::format("no reply from {} to {} within {} s", address, asked.text(), options.seconds));
  throw_error(error::trunk_lost, fmt::format("{} ended the connection before it answered {}: {}", address, asked.text(),
                                             line_of(std::make_exception_ptr(failure))));
}

awaitable<void> ask(std::shared_ptr<RpcCircuit> circuit, Asked asked, const CallOptions* options) {
  std::optional<RpcReply> reply;
  std::optional<boost::system::system_error> failure;
  try {
    Payload payload(static_cast<std::span<const std::byte>>(asked.payload));
    if (asked.op->op_class == OpClass::command) co_await circuit->command(asked.op->code, std::move(payload));
    else reply = co_await circuit->call(asked.op->code, std::move(payload), deadline_of(*options));
  } catch (const boost::system::system_error& thrown) {
    failure = thrown;
  }
  if (failure) throw_unanswered(asked, *options, *failure);
  if (!reply) co_return;
  std::string note;
  const std::string fields = reply_text(asked, *reply, options->address, note);
  if (!note.empty()) print(stderr, "trunkline: " + note);
  print(stdout, fields);
}

awaitable<void> ask_all(ClusterConnections* connections, std::vector<Asked> all, const CallOptions* options,
                        LogSink log) {
  const OpTable table = options->framing_read == Framing::p2p ? OpTable::command : OpTable::cluster;
  const auto connection =
      co_await connections->dial(options->address, options->framing_read, server_for(table, options->verbose, log));
  const std::shared_ptr<RpcCircuit> control = connection->control();
  std::shared_ptr<RpcCircuit> peer = control;
  if (!options->peer_route.is_control())
    peer = RpcCircuit::start(control->new_circuit(to_text(options->peer_route)),
                             server_for(OpTable::command, options->verbose, log));
  for (Asked& asked : all) {
    const std::shared_ptr<RpcCircuit> circuit = asked.table == OpTable::command ? peer : control;
    co_await ask(circuit, std::move(asked), options);
  }
}

awaitable<void> ask_and_close(ClusterConnections* connections, std::vector<Asked> all, const CallOptions* options,
                              LogSink log) {
  std::exception_ptr failure;
  try {
    co_await ask_all(connections, std::move(all), options, std::move(log));
  } catch (...) {
    failure = std::current_exception();
  }
  co_await connections->close(); // a command is written first
  if (failure) std::rethrow_exception(failure);
}

int print_blanks(const CallOptions& options) {
  std::vector<std::string> words = options.words;
  words.insert(words.begin(), options.address);
  for (const std::string& word : words) print(stdout, blank_fields(find_asked(tables_of(options), word)));
  return static_cast<int>(ExitCode::equal);
}

int call(CallOptions& options) {
  read_route(options);
  if (options.blank) return print_blanks(options);
  options.address = parse_address(options.address);
  std::vector<Asked> all = read_words(options);

  asio::io_context io(1);
  ClusterConnectionsOptions settings;
  settings.connect_deadline = deadline_of(options);
  if (options.verbose) settings.log = [](LogLevel, std::string_view line) { print(stderr, std::string(line)); };
  const LogSink log = settings.log;
  ClusterConnections connections(io.get_executor(), std::move(settings));
  std::exception_ptr failure;
  asio::co_spawn(io, ask_and_close(&connections, std::move(all), &options, log),
                 [&](std::exception_ptr thrown) { failure = std::move(thrown); });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return static_cast<int>(ExitCode::equal);
}

} // namespace

Command add_quarkchain_call(CLI::App& quarkchain) {
  const auto options = std::make_shared<CallOptions>();
  CLI::App* const command = quarkchain.add_subcommand("call", "Ask a node, and print its reply as JSON");
  command->add_option("ADDRESS", options->address, "host:port")->required()->type_name("");
  command->add_option("OP [JSON]", options->words, "What to ask; may be repeated, for one connection")->type_name("");
  command
      ->add_option("--framing", options->framing,
                   "What we are: cluster (a master), slave (a slave), p2p (another cluster)")
      ->capture_default_str();
  command->add_option("--peer", options->peer, "As which virtual peer opcodes between clusters are said")
      ->type_name("ID");
  command->add_option("--branch", options->branch, "To which shard they are said")->type_name("FULL_SHARD_ID");
  command->add_option("--timeout", options->seconds, "For the connection, and for each reply")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 86'400.0));
  command->add_flag("--blank", options->blank, "Instead: print the fields of OP..., without an ADDRESS");
  command->add_flag("-v,--verbose", options->verbose, "Say what the far side asks, and how the connection ends");
  command->footer(
      "OP is a name, as GET_ACCOUNT_DATA, or a number. JSON has the fields of the message, or is @FILE or @-, the\n"
      "standard input; without it every field is zero, empty or absent.\n"
      "Prints one line for each reply: fields by name, bytes in hexadecimal, large numbers as texts. Commands have "
      "none.\n"
      "A slave may report minor headers (145, 187) while it is asked, which is answered with error_code 0. It takes "
      "the\n"
      "first who connects for its master, and ends when that connection does.\n\n"
      "Exit codes: 0 all was answered, whatever its error_code; 1 wrong usage; 10 no connection, or it was lost;\n"
      "11 a file cannot be read; 12 the far side breaks the protocol; 30 timeout.\n\n"
      "Example:\n"
      "  trunkline quarkchain call 127.0.0.1:38000 GET_ACCOUNT_DATA '{\"address\": {\"recipient\":\n"
      "    \"0000000000000000000000000000000000000002\", \"full_shard_key\": 0}, \"block_height\": null}'");
  return {command, [options] { return call(*options); }};
}

} // namespace trunkline::cli
