// trunkline quarkchain checkdb: every block of a shard's database, validated and run once more.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/quarkchain/config.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/execution/sender_threads.hpp"
#include "services/quarkchain/execution/transfers.hpp"
#include "services/quarkchain/shard/database_check.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"
#include "services/quarkchain/shards/engine_check.hpp"
#include "services/sync/disk.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

using namespace quarkchain;

struct CheckDbOptions {
  std::string config_file;
  std::string db;
  std::string el_command;
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

/// Runs the context until this has ended.
template <class T> T run(asio::io_context& io, awaitable<T> call) {
  std::exception_ptr failure;
  std::optional<T> result;
  asio::co_spawn(io, std::move(call), [&](std::exception_ptr thrown, T value) {
    failure = std::move(thrown);
    result = std::move(value);
  });
  io.restart();
  while (!result) io.run_one();
  if (failure) std::rethrow_exception(failure);
  return *std::move(result);
}

awaitable<bool> started(EngineCheck* check) {
  co_await check->start();
  co_return true;
}

/// Where an execution layer keeps its own for as long as the check runs.
class TemporaryDirectory {
 public:
  TemporaryDirectory()
      : path_(std::filesystem::temp_directory_path() / fmt::format("trunkline-checkdb-{}", ::getpid())) {}
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

using FaultOf = std::function<std::optional<std::string>(const Hash256&)>;

/// How many of them are wrong. Prints each that is.
std::size_t check_blocks(const std::vector<Hash256>& blocks, bool quiet, const FaultOf& fault_of) {
  Progress progress(blocks.size(), quiet);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (const auto fault = fault_of(blocks[i])) {
      ++wrong;
      fmt::print("{}: {}\n", blocks[i].hex(), *fault);
    }
    progress.show(i + 1, i + 1 == blocks.size());
  }
  return wrong;
}

struct Counts {
  std::size_t blocks = 0;
  std::size_t wrong = 0;
};

/// In an execution layer that begins with nothing: the blocks are all that it gets.
Counts check_with_engine(const ClusterConfig& config, const ShardConfig& shard, std::unique_ptr<Store> store,
                         const CheckDbOptions& options, std::uint64_t now) {
  const TemporaryDirectory directory;
  EngineSettings settings;
  settings.command = options.el_command;
  settings.bridge = store->get(shard_keys::meta("executor")).value_or("").ends_with("bridge");
  settings.directory_of = [&](std::uint32_t) { return directory.path(); };
  settings.deadlines.slow = settings.deadlines.quick = std::chrono::seconds(60); // nobody waits for it
  asio::io_context io(1);
  EngineCheck check(config.quarkchain, shard, std::move(store), std::move(settings), config.enable_transaction_history,
                    {});
  run(io, started(&check));
  const std::vector<Hash256> blocks = check.blocks();
  const std::size_t wrong =
      check_blocks(blocks, options.quiet, [&](const Hash256& block) { return run(io, check.fault_of(block, now)); });
  check.stop();
  io.restart();
  io.poll(); // what was cancelled ends
  return {blocks.size(), wrong};
}

Counts check_transfers(const ClusterConfig& config, const ShardConfig& shard, Store& store,
                       const CheckDbOptions& options, std::uint64_t now) {
  TransfersExecutor executor(config.quarkchain, shard, store);
  ShardCL cl(config.quarkchain, shard, store, executor, config.enable_transaction_history);
  cl.find_senders_on(SenderThreads::of_this_machine());
  DatabaseCheck check(cl);
  const std::vector<Hash256> blocks = check.blocks();
  std::size_t done = 0;
  const auto fault_of = [&](const Hash256& block) {
    if (++done < blocks.size()) check.expect(blocks[done]);
    return check.fault_of(block, now);
  };
  return {blocks.size(), check_blocks(blocks, options.quiet, fault_of)};
}

int check_database(const CheckDbOptions& options) try {
  const ClusterConfig config = load_cluster_config(options.config_file).config;
  auto store = read_store(options.db);
  const ShardConfig& shard = shard_in(*store, config.quarkchain, options);
  const std::string executor = store->get(shard_keys::meta("executor")).value_or("");
  const bool of_engine = executor.starts_with("engine");
  if (of_engine && options.el_command.empty())
    throw UsageError(fmt::format("--db: executor {} ran its blocks: expected --el-command, seen none", executor));
  if (!of_engine && !options.el_command.empty())
    throw UsageError(
        fmt::format("--el-command: executor {} ran the blocks of {}, expected engine", executor, options.db));
  const auto clock = std::chrono::system_clock::now().time_since_epoch();
  const auto now = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(clock).count());
  const auto [blocks, wrong] = of_engine ? check_with_engine(config, shard, std::move(store), options, now)
                                         : check_transfers(config, shard, *store, options, now);
  fmt::print("{} blocks of shard {} are right, {} are not\n", blocks - wrong, shard_text(shard.full_shard_id), wrong);
  if (std::fflush(stdout) != 0) throw sync::FileError("write", "standard output", errno);
  return static_cast<int>(wrong == 0 ? ExitCode::equal : ExitCode::usage);
} catch (const Refused& refused) { // the execution layer is down, which says nothing of the blocks
  throw UsageError(refused.what());
} catch (const ConfigFailure& failure) {
  throw UsageError(failure.what());
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
  command
      ->add_option("--el-command", options->el_command,
                   "For a shard with an execution layer: starts one that runs the blocks again")
      ->type_name("COMMAND");
  command->add_flag("-q,--quiet", options->quiet, "Do not say how far it is");
  command->footer(
      "Says once a second how far it is, on the standard error. A block that is wrong is printed with what was "
      "expected\n"
      "and what was seen; the last line counts both kinds. A master asks its slaves for the same with --check_db.\n"
      "A shard that ran with --el-command is checked with the same; the execution layer begins with nothing, in a\n"
      "temporary directory.\n\n"
      "Exit codes: 0 all blocks are right; 1 some are not, or the configuration is of another network; 11 the "
      "database\n"
      "cannot be read.\n\n"
      "Example:\n"
      "  trunkline quarkchain checkdb --cluster_config cluster_config.json --db "
      "db/trunkline-slave-S0/shard-0x00000001");
  return {command, [options] { return check_database(*options); }};
}

} // namespace trunkline::cli
