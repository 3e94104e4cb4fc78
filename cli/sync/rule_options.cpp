#include "cli/sync/rule_options.hpp"

#include "services/sync/path.hpp"
#include "services/sync/root.hpp"

#include <CLI/CLI.hpp>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>

namespace trunkline::cli {
namespace {

constexpr int merges_max = 16; // one in the other
constexpr const char* group = "Rules";
constexpr const char* directory_rules_name = ".rsync-filter";

/// "-" is the standard input.
std::string read_whole(const std::string& path) {
  std::FILE* const file = path == "-" ? stdin : std::fopen(path.c_str(), "rbe");
  if (!file) throw sync::FileError("read", path, errno);
  std::string content;
  char piece[65536];
  for (std::size_t size; (size = std::fread(piece, 1, sizeof piece, file)) > 0;) content.append(piece, size);
  const int error = std::ferror(file) ? errno : 0;
  if (file != stdin) std::fclose(file);
  if (error != 0) throw sync::FileError("read", path, error);
  return content;
}

} // namespace

RuleOptions::RuleOptions(CLI::App& command) : command_(command) {
  const auto option = [&](const char* names, const char* text, const char* type) {
    return command.add_option(names, sink_, text)->type_name(type)->allow_extra_args(false)->group(group);
  };
  exclude_ = option("--exclude", "Leave alone what matches: *.o  /top  dir/  a/**", "PATTERN");
  include_ = option("--include", "Do not leave alone what matches, whatever a later rule says", "PATTERN");
  filter_ =
      option("-f,--filter", "A rule of any kind, as \"- *.o\", \"P kept\", \"merge FILE\", \"dir-merge FILE\"", "RULE");
  exclude_from_ = option("--exclude-from", "The patterns in FILE, one a line; - is the standard input", "FILE");
  include_from_ = option("--include-from", "The same for --include", "FILE");
  per_directory_ =
      command
          .add_flag("-F", per_directory_count_,
                    "The rules in the file .rsync-filter of each directory; twice: and leave those files alone")
          ->group(group);
  files_from_ =
      option("--files-from", "Only the paths in FILE, one a line, and the directories that lead there", "FILE");
  zeros_ =
      command.add_flag("-0,--from0", zeros_wanted_, "What is read from files ends with a zero byte, not with its line")
          ->group(group);
}

void RuleOptions::take(sync::Options& wishes) const {
  std::map<const CLI::Option*, std::size_t> seen;
  for (const CLI::Option* const option : command_.parse_order()) {
    const std::size_t at = seen[option]++;
    const auto text = [&] { return option->results().at(at); };
    if (option == exclude_) {
      add_line(wishes.rules, sync::parse_pattern_rule(text(), sync::Rule::Kind::exclude), 0);
    } else if (option == include_) {
      add_line(wishes.rules, sync::parse_pattern_rule(text(), sync::Rule::Kind::include), 0);
    } else if (option == filter_) {
      add_line(wishes.rules, sync::parse_rule(text()), 0);
    } else if (option == exclude_from_) {
      add_patterns(wishes.rules, text(), sync::Rule::Kind::exclude);
    } else if (option == include_from_) {
      add_patterns(wishes.rules, text(), sync::Rule::Kind::include);
    } else if (option == per_directory_ && at < 2) {
      add_line(wishes.rules, sync::parse_rule(std::string(at == 0 ? ": " : "- ") + directory_rules_name), 0);
    }
  }
  if (files_from_->count() == 0) return;
  if (files_from_->count() > 1) throw std::invalid_argument("--files-from is given more than once");
  wishes.only = sync::rule_lines(read_whole(files_from_->results().front()), zeros_->count() > 0, false);
}

void RuleOptions::add_line(std::vector<sync::Rule>& rules, const sync::RuleLine& line, int depth) const {
  switch (line.what) {
    case sync::RuleLine::What::rule: rules.push_back(line.rule); return;
    case sync::RuleLine::What::clear: rules.clear(); return;
    case sync::RuleLine::What::merge: break;
  }
  if (depth == merges_max) throw std::invalid_argument("\"" + sync::printable(line.file) + "\" merges itself");
  if (line.rule.hides_file) {
    sync::Rule hidden;
    hidden.pattern = sync::name_of(line.file);
    rules.push_back(std::move(hidden));
  }
  for (const std::string& text : sync::rule_lines(read_whole(line.file), zeros_->count() > 0, line.words)) {
    sync::RuleLine inner = line.patterns_only ? sync::RuleLine() : sync::parse_rule(text);
    if (line.patterns_only) {
      inner.rule.kind = line.rule.kind;
      inner.rule.pattern = text;
    }
    inner.rule.for_giver = inner.rule.for_giver && line.rule.for_giver;
    inner.rule.for_taker = inner.rule.for_taker && line.rule.for_taker;
    inner.rule.perishable = inner.rule.perishable || line.rule.perishable;
    add_line(rules, inner, depth + 1);
  }
}

void RuleOptions::add_patterns(std::vector<sync::Rule>& rules, const std::string& file, sync::Rule::Kind kind) const {
  for (const std::string& text : sync::rule_lines(read_whole(file), zeros_->count() > 0, false))
    add_line(rules, sync::parse_pattern_rule(text, kind), 0);
}

std::uint64_t parse_size(const std::string& text) {
  const auto refuse = [&] {
    throw std::invalid_argument("size \"" + sync::printable(text) + "\" is not like 100, 1.5m, 2GiB or 1GB");
  };
  double value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (failed != std::errc() || !(value >= 0)) refuse();
  std::string rest(end, text.data() + text.size());
  double adjust = 0;
  if (rest.ends_with("+1") || rest.ends_with("-1")) {
    adjust = rest.ends_with("+1") ? 1 : -1;
    rest.resize(rest.size() - 2);
  }
  for (char& letter : rest) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  double unit = 1;
  if (!rest.empty() && rest != "b") {
    const std::size_t power = std::string_view("kmgtp").find(rest.front());
    if (power == std::string_view::npos) refuse();
    const std::string behind = rest.substr(1);
    if (behind != "" && behind != "b" && behind != "ib") refuse();
    unit = std::pow(behind == "b" ? 1000.0 : 1024.0, static_cast<double>(power + 1));
  }
  const double bytes = value * unit + adjust;
  if (bytes < 0 || bytes >= 9.0e18) refuse();
  return static_cast<std::uint64_t>(bytes);
}

} // namespace trunkline::cli
