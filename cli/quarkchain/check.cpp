// trunkline quarkchain check: steps that another implementation took, taken again here.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "fragment/input_file.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/shard/golden_steps.hpp"
#include "services/sync/disk.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace trunkline::cli {
namespace {

using namespace quarkchain;

std::string whole(const std::string& path) {
  try {
    return content_of_file(path);
  } catch (const std::system_error& failure) {
    throw sync::FileError("read", path, failure.code().value());
  }
}

StepCounts check_file(const std::string& path) try {
  return check_golden_steps(Json::parse(whole(path)), [&](const StepDifference& difference) {
    fmt::print("{}: {}: {}: expected {}, seen {}\n", path, difference.step, difference.field, difference.expected,
               difference.seen);
  });
} catch (const JsonError& error) {
  throw UsageError(path + ": " + error.what());
} catch (const DecodeFailure& error) {
  throw UsageError(path + ": " + error.what());
}

int check(const std::vector<std::string>& files) {
  StepCounts all;
  for (const std::string& path : files) {
    const StepCounts counts = check_file(path);
    all.agree += counts.agree;
    all.differ += counts.differ;
  }
  fmt::print("{} steps agree, {} differ\n", all.agree, all.differ);
  if (std::fflush(stdout) != 0) throw sync::FileError("write", "standard output", errno);
  return static_cast<int>(all.differ == 0 ? ExitCode::equal : ExitCode::usage);
}

} // namespace

Command add_quarkchain_check(CLI::App& quarkchain) {
  const auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* const command =
      quarkchain.add_subcommand("check", "Take steps that another implementation took, and compare what comes of them");
  command->add_option("FILE", *files, "Golden steps as JSON")->required();
  command->footer(
      "Each file is fed to fresh shards in memory. A step that differs is printed with what was expected and what was\n"
      "seen; the last line counts both kinds.\n"
      "Exit codes: 0 all steps agree; 1 some differ, or a file holds no steps; 11 a file cannot be read.\n\n"
      "Example:\n"
      "  trunkline quarkchain check tests/services/quarkchain/vectors/slave/*.json");
  return {command, [files] { return check(*files); }};
}

} // namespace trunkline::cli
