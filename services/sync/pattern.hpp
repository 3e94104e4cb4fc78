// One pattern of rsync's rules: which paths it means.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::sync {

///   *.o        a name, anywhere            /top      only at the top of the synced tree
///   build/     directories only            a/b*      the end of a path, whole components
///   a/***      a, and everything below
///   *  any run of bytes but '/'     **  any run of bytes     ?  one byte but '/'
///   [a-z] [!a-z] [[:alpha:]]  a class     \x  x itself, in a pattern with one of * ? [
/// Matching takes time proportional to pattern and path, whatever the pattern: all places of 64 tokens advance at once.
class Pattern {
 public:
  static constexpr std::size_t bytes_max = 512;

  /// `base` is the directory that a '/' in front means; empty: the top. Errors: std::invalid_argument, in words.
  explicit Pattern(std::string_view text, std::string base = {});

  bool matches(std::string_view path, bool is_directory) const;
  /// About how many steps `matches` may take.
  std::size_t steps(std::string_view path) const noexcept;

 private:
  struct Token {
    enum class Kind : std::uint8_t { byte, any, star, star_star, set };
    Kind kind = Kind::byte;
    char byte = 0;
    bool negated = false;
    std::vector<std::pair<char, char>> ranges;

    bool takes(char seen) const noexcept;
  };
  using Word = std::uint64_t; // one bit for each of 64 tokens

  /// Where in a path a match may begin.
  enum class Begins : std::uint8_t { at_name, at_top, at_any_component, at_top_or_slash };

  static std::vector<Token> parse(std::string_view text);
  static Token parse_set(std::string_view text, std::size_t at, std::size_t end);
  void compile(const std::vector<Token>& tokens);

  Begins begins_ = Begins::at_name;
  bool directory_only_ = false;
  bool matches_below_ = false; // it ends in ***, which means the directory before it, too
  std::string base_;
  std::size_t words_ = 0; // that hold one bit for each token, and one for the end
  std::array<std::uint16_t, 256> rows_{}; // of each byte in `takes_`
  std::vector<Word> takes_; // rows of words: which tokens take the byte
  std::vector<Word> stars_; // which tokens may take nothing, or more than one byte
  std::size_t end_ = 0; // the place behind the last token
};

} // namespace trunkline::sync
