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
    pattern.tokens.push_back(std::move(token));
  }
  pattern.name_only = !spans_components;
  return pattern;
}

Filter::Filter(const std::vector<std::string>& patterns) {
  if (patterns.size() > patterns_max)
    throw std::invalid_argument(std::to_string(patterns.size()) + " exclude patterns, more than " +
                                std::to_string(patterns_max));
  for (const std::string& text : patterns) {
    if (text.empty() || text == "/")
      throw std::invalid_argument("exclude pattern \"" + text + "\" matches nothing; it would be *, or a name");
    if (text.size() > pattern_bytes_max)
      throw std::invalid_argument("exclude pattern of " + std::to_string(text.size()) + " bytes, more than " +
                                  std::to_string(pattern_bytes_max));
    patterns_.push_back(parse(text));
  }
}

bool Filter::excludes(std::string_view path, bool is_directory) const {
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const Pattern& pattern) {
    if (pattern.directory_only && !is_directory) return false;
    return pattern.matches(pattern.name_only ? name_of(path) : path);
  });
}

/// All places in the pattern at once, one byte of the path after the other: no backtracking.
bool Filter::Pattern::matches(std::string_view path) const {
  const auto is_star = [&](std::size_t at) {
    return tokens[at].kind == Token::Kind::star || tokens[at].kind == Token::Kind::star_star;
  };
  std::vector<char> here(tokens.size() + 1, 0);
  std::vector<char> next(tokens.size() + 1, 0);
  const auto enter = [&](std::vector<char>& places, std::size_t at) {
    places[at] = 1;
    while (at < tokens.size() && is_star(at)) places[++at] = 1; // a star may be nothing
  };
  enter(here, 0);
  for (std::size_t index = 0; index < path.size(); ++index) {
    const char seen = path[index];
    std::fill(next.begin(), next.end(), 0);
    for (std::size_t at = 0; at < tokens.size(); ++at)
      if (here[at] && tokens[at].takes(seen)) enter(next, is_star(at) ? at : at + 1);
    if (seen == '/' && !anchored) enter(next, 0); // the end of a path begins at any component
    std::swap(here, next);
  }
  return here[tokens.size()] != 0;
}

} // namespace trunkline::sync
