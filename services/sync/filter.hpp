// Which paths a sync leaves alone: the basic patterns of rsync's --exclude.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sync {

/// A list of patterns. An excluded directory is excluded with everything in it; what is excluded is neither sent nor
/// deleted.
///   *.o        a name, anywhere            /top      only at the top of the synced tree
///   build/     directories only            a/b*      the end of a path, whole components
///   *  any run of bytes but '/'     **  any run of bytes     ?  one byte but '/'     [a-z] [!a-z]  a class     \x  x
///   itself
/// Matching takes time proportional to pattern and path, whatever the pattern.
class Filter {
 public:
  static constexpr std::size_t patterns_max = 1000;
  static constexpr std::size_t pattern_bytes_max = 512;

  Filter() = default;
  /// Errors: std::invalid_argument that names the pattern.
  explicit Filter(const std::vector<std::string>& patterns);

  /// Whether a path is excluded by itself; a walk asks about each directory before what is in it.
  bool excludes(std::string_view path, bool is_directory) const;
  bool empty() const noexcept { return patterns_.empty(); }

 private:
  struct Token {
    enum class Kind : std::uint8_t { byte, any, star, star_star, set };
    Kind kind;
    char byte = 0;
    bool negated = false;
    std::vector<std::pair<char, char>> ranges;

    bool takes(char seen) const noexcept;
  };
  struct Pattern {
    std::vector<Token> tokens;
    bool anchored = false;       // begins at the top
    bool name_only = false;      // no '/' and no '**': the last component is what counts
    bool directory_only = false;

    bool matches(std::string_view path) const;
  };

  static Pattern parse(std::string_view text);

  std::vector<Pattern> patterns_;
};

} // namespace trunkline::sync
