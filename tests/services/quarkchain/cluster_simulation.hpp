// A cluster of one master and four slaves, whose shards check and run what they are told, under virtual time, with
// links that break, stall and part, slaves that crash and come back, and root chains that fork. Afterwards everything
// is healed, and what was promised is looked for.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain::test {

/// Bugs on purpose, outside of the library: they show that the checkers would notice.
enum class PlantedBug : std::uint8_t {
  none,
  forget,   // a slave acknowledges some cross-shard lists and does not keep them
  unwritten // a slave keeps cross-shard lists in memory only, and loses them with its process
};

std::optional<PlantedBug> parse_planted_bug(std::string_view name);
std::vector<std::string> planted_bug_names();

struct ClusterRunOptions {
  std::uint64_t seed = 1;
  std::uint64_t seconds = 120; // of virtual time with faults
  PlantedBug bug = PlantedBug::none;
  std::function<void(const std::string&)> log;

  ClusterRunOptions() = default;
};

struct ClusterRunReport {
  std::uint64_t violations_count = 0;
  std::vector<std::string> violations; // the first few
  std::uint64_t trace_hash = 0;

  // What happened, so that one sees that it did.
  std::uint64_t minor_blocks = 0; // acknowledged
  std::uint64_t minor_blocks_failed = 0;
  std::uint64_t root_blocks = 0;
  std::uint64_t root_blocks_failed = 0;
  std::uint64_t root_switches = 0; // seen by slaves
  std::uint64_t lists = 0;         // acknowledged cross-shard lists
  std::uint64_t deposits = 0;      // in them
  std::uint64_t boots = 0;         // of slaves that were lost
  std::uint64_t redials = 0;       // between slaves
  std::uint64_t faults = 0;
  std::uint64_t crashes = 0;
  std::uint64_t lists_checked = 0;
  std::uint64_t transfers = 0; // in the canonical chains, each credited once

  void add(const ClusterRunReport& other);
};

ClusterRunReport simulate_cluster(const ClusterRunOptions& options);

} // namespace trunkline::quarkchain::test
