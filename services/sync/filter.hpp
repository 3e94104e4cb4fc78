// Which paths a sync leaves out and which it leaves alone: rsync's filter rules.
#pragma once

#include "services/sync/pattern.hpp"
#include "services/sync/rule.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sync {

class DirectoryRules;

/// Rules in their order; the first one that matches decides, and where none does a path takes part. What a Giver hides
/// is not sent, and nothing below it; what a Taker protects is not deleted. A rule is for both unless it says
/// otherwise.
class Filter {
 public:
  static constexpr std::size_t rules_max = 1000;
  static constexpr std::size_t pattern_bytes_max = Pattern::bytes_max;
  static constexpr std::size_t patterns_bytes_max = 16 * 1024; // of all together
  static constexpr std::size_t file_bytes_max = 16 * 1024;     // of a file with the rules of a directory

  Filter() = default;
  /// delete_excluded: a rule that is for both sides is only for the Giver. Errors: std::invalid_argument that names the
  /// pattern.
  explicit Filter(const std::vector<Rule>& rules, bool delete_excluded = false);

  /// Whether a path is not to be sent; a walk asks about each directory before what is in it.
  bool hides(std::string_view path, bool is_directory, const DirectoryRules& local) const;
  /// Whether a path may not be deleted; `deleted`: the directory that it lies in is.
  bool protects(std::string_view path, bool is_directory, const DirectoryRules& local, bool deleted) const;
  /// The same without a look at any file with rules of a directory: true only when none could say otherwise.
  bool hides(std::string_view path, bool is_directory) const;
  bool leaves_alone(std::string_view path, bool is_directory) const;

  bool empty() const noexcept { return rules_.empty(); }
  /// The files with rules that a walk looks for in each directory.
  const std::vector<Rule>& files() const noexcept { return files_; }
  /// How many steps a question about this path may take. Somebody else may have chosen both: whoever asks about many
  /// paths lets others run after about steps_between_yields of them.
  std::size_t steps(std::string_view path) const noexcept;
  static constexpr std::size_t steps_between_yields = 256 * 1024;

 private:
  friend class DirectoryRules;

  enum class Side : std::uint8_t { giver, taker };
  enum class Verdict : std::uint8_t { none, exclude, include, unknown };
  struct Question {
    std::string_view path;
    bool is_directory = false;
    Side side = Side::giver;
    bool deleted = false;
  };
  struct Compiled {
    Rule rule;
    std::optional<Pattern> pattern; // none: `file` is what stands here
    std::size_t file = 0;

    Verdict judge(const Question& question) const;
  };

  static Compiled compile(const Rule& rule, const std::string& base, bool delete_excluded);
  Verdict judge(const Question& question, const DirectoryRules* local) const;

  std::vector<Compiled> rules_;
  std::vector<Rule> files_;
  bool delete_excluded_ = false;
};

/// The rules that stand in files of the directories from the top down to where a walk is.
class DirectoryRules {
 public:
  /// The content of a file in a directory, or nothing when there is none.
  using Read = std::function<std::optional<std::string>(const std::string& directory, const std::string& name)>;

  explicit DirectoryRules(const Filter& filter) : filter_(filter) {}

  /// The walk is in this directory now: what does not hold it is left. Errors: std::invalid_argument that names the
  /// file and the line; what `read` throws.
  void enter(const std::string& directory, const Read& read);
  /// The same, and the directories above it, which nobody may have entered.
  void enter_all(const std::string& directory, const Read& read);
  std::size_t steps(std::string_view path) const noexcept;

 private:
  friend class Filter;

  struct File {
    bool clears = false;
    std::vector<Filter::Compiled> rules;
  };
  struct Level {
    std::string directory;
    std::vector<File> files; // one for each of Filter::files
  };

  Filter::Verdict judge(const Filter::Question& question, std::size_t file) const;

  const Filter& filter_;
  std::vector<Level> levels_;
};

} // namespace trunkline::sync
