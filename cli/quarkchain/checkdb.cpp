// trunkline quarkchain checkdb: every block of a shard's database, validated and run once more.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/quarkchain/config.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/execution/transfers.hpp"
#include "services/quarkchain/shard/database_check.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"
#include "services/sync/disk.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::cli {
namespace {

using namespace quarkchain;

struct CheckDbOptions {
  std::string config_file;
  std::string db;
  bool quiet = false;
};

/// Says once a second how far it is, how fast, and how long it will take.
class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  Progress(std::size_t all, bool quiet) : all_(all), quiet_(quiet) {}

  void show(std::size_t done, bool last) {
    const Clock::time_point now = Clock::now();
    if (quiet_ || (!last && now < next_)) return;
    next_ = now + std::chrono::seconds(1);
    const double seconds = std::chrono::duration<double>(now - began_).count();
    const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
    const double left = rate > 0 ? static_cast<double>(all_ - done) / rate : 0;
    fmt::print(stderr, "{} of {} blocks, {:.0f} a second, {:.0f} s left\n", done, all_, rate, left);
  }

 private:
  std::size_t all_;
  bool quiet_;
  Clock::time_point began_ = Clock::now();
  Clock::time_point next_ = began_ + std::chrono::seconds(1);
};

const ShardConfig& shard_in(const Store& store, const QuarkChainConfig& config, const CheckDbOptions& options) {
  const auto seen = store.get(shard_keys::meta("shard"));
  if (!seen) throw UsageError("--db: expected the database of a shard, seen none in " + options.db);
  for (const ShardConfig& shard : config.shards)
    if (shard_text(shard.full_shard_id) == *seen) return shard;
  throw UsageError(fmt::format("{}: expected shard {}, of which {} is the database, seen {}", options.config_file,
                               *seen, options.db, shards_text(config.full_shard_ids())));
}

int check_database(const CheckDbOptions& options) {
  const ClusterConfig config = load_cluster_config(options.config_file).config;
  const auto store = read_store(options.db);
  const ShardConfig& shard = shard_in(*store, config.quarkchain, options);
  TransfersExecutor executor(config.quarkchain, shard, *store);
  ShardCL cl(config.quarkchain, shard, *store, executor, config.enable_transaction_history);
  DatabaseCheck check(cl);
  const std::vector<Hash256> blocks = check.blocks();
  const auto clock = std::chrono::system_clock::now().time_since_epoch();
  const auto now = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(clock).count());

  Progress progress(blocks.size(), options.quiet);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (const auto fault = check.fault_of(blocks[i], now)) {
      ++wrong;
      fmt::print("{}: {}\n", blocks[i].hex(), *fault);
    }
    progress.show(i + 1, i + 1 == blocks.size());
  }
  fmt::print("{} blocks of shard {} are right, {} are not\n", blocks.size() - wrong, shard_text(shard.full_shard_id),
             wrong);
  if (std::fflush(stdout) != 0) throw sync::FileError("write", "standard output", errno);
  return static_cast<int>(wrong == 0 ? ExitCode::equal : ExitCode::usage);
}

} // namespace

Command add_quarkchain_checkdb(CLI::App& quarkchain) {
  const auto options = std::make_shared<CheckDbOptions>();
  CLI::App* const command =
      quarkchain.add_subcommand("checkdb", "Validate and run every block of a shard's database once more");
  command->add_option("--cluster_config", options->config_file, "The configuration of its cluster")
      ->required()
      ->type_name("FILE");
  command->add_option("--db", options->db, "The directory of one shard's database; it is only read")
      ->required()
      ->type_name("DIR");
  command->add_flag("-q,--quiet", options->quiet, "Do not say how far it is");
  command->footer(
      "Says once a second how far it is, on the standard error. A block that is wrong is printed with what was "
      "expected\n"
      "and what was seen; the last line counts both kinds. A master asks its slaves for the same with --check_db.\n\n"
      "Exit codes: 0 all blocks are right; 1 some are not, or the configuration is of another network; 11 the "
      "database\n"
      "cannot be read.\n\n"
      "Example:\n"
      "  trunkline quarkchain checkdb --cluster_config cluster_config.json --db "
      "db/trunkline-slave-S0/shard-0x00000001");
  return {command, [options] { return check_database(*options); }};
}

} // namespace trunkline::cli
