// Which paths a sync leaves alone: the basic patterns of rsync's --exclude.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::sync {

/// A list of patterns. An excluded directory is excluded with everything in it; what is excluded is neither sent nor
/// deleted.
///   *.o        a name, anywhere            /top      only at the top of the synced tree
///   build/     directories only            a/b*      the end of a path, whole components
///   *  any run of bytes but '/'     **  any run of bytes     ?  one byte but '/'     [a-z] [!a-z]  a class     \x  x
///   itself
/// Matching takes time proportional to pattern and path, whatever the pattern: all places of 64 tokens advance at once.
class Filter {
 public:
  static constexpr std::size_t patterns_max = 1000;
  static constexpr std::size_t pattern_bytes_max = 512;
  static constexpr std::size_t patterns_bytes_max = 16 * 1024; // of all together

  Filter() = default;
  /// Errors: std::invalid_argument that names the pattern.
  explicit Filter(const std::vector<std::string>& patterns);

  /// Whether a path is excluded by itself; a walk asks about each directory before what is in it.
  bool excludes(std::string_view path, bool is_directory) const;
  bool empty() const noexcept { return patterns_.empty(); }
  /// How many steps `excludes` may take for this path. Somebody else may have chosen both: whoever asks about many
  /// paths lets others run after about steps_between_yields of them.
  std::size_t steps(std::string_view path) const noexcept;
  static constexpr std::size_t steps_between_yields = 256 * 1024;

 private:
  struct Token {
    enum class Kind : std::uint8_t { byte, any, star, star_star, set };
    Kind kind;
    char byte = 0;
    bool negated = false;
    std::vector<std::pair<char, char>> ranges;

    bool takes(char seen) const noexcept;
  };
  using Word = std::uint64_t; // one bit for each of 64 tokens

  struct Pattern {
    std::size_t words = 0; // that hold one bit for each token, and one for the end
    std::array<std::uint16_t, 256> rows{}; // of each byte in `takes`
    std::vector<Word> takes; // rows of words: which tokens take the byte
    std::vector<Word> stars; // which tokens may take nothing, or more than one byte
    std::size_t end = 0; // the place behind the last token
    bool anchored = false; // begins at the top
    bool name_only = false; // no '/' and no '**': the last component is what counts
    bool directory_only = false;

    void compile(const std::vector<Token>& tokens);
    bool matches(std::string_view path) const;
  };

  static Pattern parse(std::string_view text);

  std::vector<Pattern> patterns_;
  std::size_t name_words_ = 0; // of the patterns that look at names only
  std::size_t path_words_ = 0; // of the others
};

} // namespace trunkline::sync
