// The filter rules of a command line, in the order in which they stand there.
#pragma once

#include "services/sync/options.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace trunkline::cli {

/// --include, --exclude, --filter and what reads rules and paths from files. The command must outlive it.
class RuleOptions {
 public:
  explicit RuleOptions(CLI::App& command);

  /// Puts the rules and the selection of paths into `wishes`, after the command line was parsed. Reads the files.
  /// Errors: std::invalid_argument for a rule that would have to be guessed; sync::FileError.
  void take(sync::Options& wishes) const;

 private:
  void add_line(std::vector<sync::Rule>& rules, const sync::RuleLine& line, int depth) const;
  void add_patterns(std::vector<sync::Rule>& rules, const std::string& file, sync::Rule::Kind kind) const;

  CLI::App& command_;
  std::vector<std::string> sink_; // of all options: what counts is what the command line has in which order
  int per_directory_count_ = 0;
  bool zeros_wanted_ = false;
  CLI::Option* include_ = nullptr;
  CLI::Option* exclude_ = nullptr;
  CLI::Option* filter_ = nullptr;
  CLI::Option* include_from_ = nullptr;
  CLI::Option* exclude_from_ = nullptr;
  CLI::Option* per_directory_ = nullptr;
  CLI::Option* files_from_ = nullptr;
  CLI::Option* zeros_ = nullptr;
};

/// A size as rsync reads it: 100, 1.5m, 2GiB, 1GB, 10k-1. Errors: std::invalid_argument.
std::uint64_t parse_size(const std::string& text);

} // namespace trunkline::cli
