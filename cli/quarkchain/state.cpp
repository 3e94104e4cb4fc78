// trunkline quarkchain state: what a shard's database says about one block, so that a wrong root can be found.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "services/quarkchain/shard/state_dump.hpp"
#include "services/sync/disk.hpp"

#include <CLI/CLI.hpp>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>

namespace trunkline::cli {
namespace {

using namespace quarkchain;

struct StateOptions {
  std::string db;
  std::string at;
};

int print_state(const StateOptions& options) {
  const auto hash = Hash256::from_hex(options.at);
  if (!hash) throw UsageError("--at: expected the 64 hexadecimal digits of a minor block's hash, seen " + options.at);
  const auto store = read_store(options.db);
  dump_state(*store, *hash, [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); });
  if (std::fflush(stdout) != 0) throw sync::FileError("write", "standard output", errno);
  return static_cast<int>(ExitCode::equal);
}

} // namespace

Command add_quarkchain_state(CLI::App& quarkchain) {
  const auto options = std::make_shared<StateOptions>();
  CLI::App* const command =
      quarkchain.add_subcommand("state", "Print accounts, receipts and indices of a shard at one block, as JSON");
  command->add_option("--db", options->db, "The directory of one shard's database; it is only read")->required();
  command->add_option("--at", options->at, "The hash of a minor block that it holds")->required();
  command->footer(
      "Of a shard with an execution layer the accounts are kept there: its block is named instead.\n"
      "Exit codes: 0 printed; 1 there is no such block or state; 11 the database cannot be read.\n\n"
      "Example:\n"
      "  trunkline quarkchain state --db db/shard-1 --at 3b6f0f7d... | jq .accounts");
  return {command, [options] { return print_state(*options); }};
}

} // namespace trunkline::cli
