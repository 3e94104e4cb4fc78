// One filter rule, as rsync writes it, as a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sync {

struct Rule {
  enum class Kind : std::uint8_t {
    exclude,
    include,
    per_directory, // here stand the rules of the file of this name in each directory
  };

  Kind kind = Kind::exclude;
  std::string pattern;     // of per_directory: the file's name
  bool for_giver = true;   // decides what is sent (hide, show)
  bool for_taker = true;   // decides what may be deleted (protect, risk)
  bool negated = false;    // !: what the pattern does not match
  bool perishable = false; // p: not in directories that are deleted
  bool inherited = true;   // of per_directory; n: only in the directory itself
  bool hides_file = false; // of per_directory; e: its file is excluded

  friend bool operator==(const Rule&, const Rule&) = default;
};

/// A rule that excludes for each pattern.
std::vector<Rule> excluding(const std::vector<std::string>& patterns);

/// What a line says: a rule, or that all rules before it are void, or that a file with rules stands in its place.
struct RuleLine {
  enum class What : std::uint8_t { rule, clear, merge };

  What what = What::rule;
  Rule rule;        // also what the rules of a merged file begin with
  std::string file; // of merge
  bool patterns_only = false; // of merge: its lines are patterns, of the kind of `rule`
  bool words = false;         // of merge: its rules are separated by blanks, too
};

/// Reads `- PATTERN`, `include,! PATTERN`, `dir-merge,n FILE` and the like. Errors: std::invalid_argument for whatever
/// would have to be guessed: an unknown rule or modifier must not become another rule, by which files are deleted.
RuleLine parse_rule(std::string_view text);
/// Reads the argument of --exclude (or --include): a pattern, which may begin with "- " or "+ " all the same, or "!".
RuleLine parse_pattern_rule(std::string_view text, Rule::Kind kind);

/// The lines of a file of rules without comments and empty ones. A zero byte ends a line when `zeros` says so.
std::vector<std::string> rule_lines(std::string_view content, bool zeros, bool words);

/// What stands in a file that is merged per directory. Errors: std::invalid_argument that names the line.
struct FileRules {
  bool clears = false; // what directories above said is void
  std::vector<Rule> rules;
};
FileRules parse_file_rules(std::string_view content, const Rule& merge);

} // namespace trunkline::sync
