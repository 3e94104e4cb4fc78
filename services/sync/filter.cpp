#include "services/sync/filter.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <stdexcept>

namespace trunkline::sync {
namespace {

/// Reads the class that begins behind a '['; npos when it has no end and the '[' stands for itself.
std::size_t end_of_set(std::string_view text, std::size_t start) {
  std::size_t at = start;
  if (at < text.size() && (text[at] == '!' || text[at] == '^')) ++at;
  if (at < text.size() && text[at] == ']') ++at; // a ']' in the first place is a member
  while (at < text.size() && text[at] != ']') at += text[at] == '\\' ? 2 : 1;
  return at < text.size() ? at : std::string_view::npos;
}

} // namespace

bool Filter::Token::takes(char seen) const noexcept {
  switch (kind) {
    case Kind::byte: return seen == byte;
    case Kind::any: return seen != '/';
    case Kind::star: return seen != '/';
    case Kind::star_star: return true;
    case Kind::set: break;
  }
  const auto value = static_cast<unsigned char>(seen);
  const bool inside = std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
    return static_cast<unsigned char>(range.first) <= value && value <= static_cast<unsigned char>(range.second);
  });
  return seen != '/' && inside != negated;
}

Filter::Pattern Filter::parse(std::string_view text) {
  Pattern pattern;
  std::vector<Token> tokens;
  if (text.size() > 1 && text.back() == '/') {
    pattern.directory_only = true;
    text.remove_suffix(1);
  }
  if (text.front() == '/') {
    pattern.anchored = true;
    text.remove_prefix(1);
  }
  bool spans_components = pattern.anchored;
  for (std::size_t at = 0; at < text.size(); ++at) {
    Token token{.kind = Token::Kind::byte, .byte = text[at], .ranges = {}};
    switch (text[at]) {
      case '\\':
        if (at + 1 < text.size()) token.byte = text[++at];
        break;
      case '?': token.kind = Token::Kind::any; break;
      case '*':
        token.kind = Token::Kind::star;
        while (at + 1 < text.size() && text[at + 1] == '*') {
          token.kind = Token::Kind::star_star;
          spans_components = true;
          ++at;
        }
        break;
      case '[': {
        const std::size_t end = end_of_set(text, at + 1);
        if (end == std::string_view::npos) break;
        token.kind = Token::Kind::set;
        std::size_t in = at + 1;
        if (text[in] == '!' || text[in] == '^') {
          token.negated = true;
          ++in;
        }
        while (in < end) {
          if (text[in] == '\\' && in + 1 < end) ++in;
          const char low = text[in++];
          char high = low;
          if (in + 1 < end && text[in] == '-') {
            in += text[in + 1] == '\\' && in + 2 < end ? 2 : 1;
            high = text[in++];
          }
          token.ranges.emplace_back(low, high);
        }
        at = end;
        break;
      }
      case '/': spans_components = true; break;
      default: break;
    }
    tokens.push_back(std::move(token));
  }
  pattern.name_only = !spans_components;
  pattern.compile(tokens);
  return pattern;
}

Filter::Filter(const std::vector<std::string>& patterns) {
  if (patterns.size() > patterns_max)
    throw std::invalid_argument(std::to_string(patterns.size()) + " exclude patterns, more than " +
                                std::to_string(patterns_max));
  std::size_t bytes = 0;
  for (const std::string& text : patterns) {
    if (text.empty() || text == "/")
      throw std::invalid_argument("exclude pattern \"" + text + "\" matches nothing; it would be *, or a name");
    if (text.size() > pattern_bytes_max)
      throw std::invalid_argument("exclude pattern of " + std::to_string(text.size()) + " bytes, more than " +
                                  std::to_string(pattern_bytes_max));
    bytes += text.size();
    if (bytes > patterns_bytes_max)
      throw std::invalid_argument("exclude patterns of more than " + std::to_string(patterns_bytes_max) +
                                  " bytes together, at \"" + printable(text) + "\"");
    patterns_.push_back(parse(text));
    const Pattern& pattern = patterns_.back();
    (pattern.name_only ? name_words_ : path_words_) += pattern.words;
  }
}

std::size_t Filter::steps(std::string_view path) const noexcept {
  return name_words_ * name_of(path).size() + path_words_ * path.size() + patterns_.size();
}

bool Filter::excludes(std::string_view path, bool is_directory) const {
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const Pattern& pattern) {
    if (pattern.directory_only && !is_directory) return false;
    return pattern.matches(pattern.name_only ? name_of(path) : path);
  });
}

void Filter::Pattern::compile(const std::vector<Token>& tokens) {
  constexpr std::size_t word_bits = 64;
  end = tokens.size();
  words = end / word_bits + 1;
  const auto set = [](Word* row, std::size_t at) { row[at / word_bits] |= Word{1} << (at % word_bits); };
  stars.assign(words, 0);
  for (std::size_t at = 0; at < end; ++at)
    if (tokens[at].kind == Token::Kind::star || tokens[at].kind == Token::Kind::star_star) set(stars.data(), at);

  std::vector<Word> row(words);
  for (std::size_t byte = 0; byte < rows.size(); ++byte) {
    std::fill(row.begin(), row.end(), 0);
    for (std::size_t at = 0; at < end; ++at)
      if (tokens[at].takes(static_cast<char>(byte))) set(row.data(), at);
    std::size_t found = 0; // most bytes are equal to a pattern
    while (found < takes.size() &&
           !std::equal(row.begin(), row.end(), takes.begin() + static_cast<std::ptrdiff_t>(found)))
      found += words;
    if (found == takes.size()) takes.insert(takes.end(), row.begin(), row.end());
    rows[byte] = static_cast<std::uint16_t>(found / words);
  }
}

/// All places in the pattern at once, one byte of the path after the other: no backtracking. Of two stars side by side
/// the parser makes one, so that a place spreads over one star at most.
bool Filter::Pattern::matches(std::string_view path) const {
  constexpr std::size_t words_max = pattern_bytes_max / 64 + 1;
  std::array<Word, words_max> here{};
  const auto spread = [&] { // a star may be nothing
    Word carry = 0;
    for (std::size_t i = 0; i < words; ++i) {
      const Word starred = here[i] & stars[i];
      here[i] |= (starred << 1) | carry;
      carry = starred >> 63;
    }
  };
  here[0] = 1;
  spread();
  for (const char seen : path) {
    const Word* const taken = &takes[rows[static_cast<unsigned char>(seen)] * words];
    Word carry = 0;
    for (std::size_t i = 0; i < words; ++i) {
      const Word moved = here[i] & taken[i];
      const Word onward = moved & ~stars[i];
      here[i] = (moved & stars[i]) | (onward << 1) | carry;
      carry = onward >> 63;
    }
    if (seen == '/' && !anchored) here[0] |= 1; // the end of a path begins at any component
    spread();
  }
  return (here[end / 64] >> (end % 64) & 1) != 0;
}

} // namespace trunkline::sync
