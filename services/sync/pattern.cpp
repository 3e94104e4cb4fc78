#include "services/sync/pattern.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <stdexcept>

namespace trunkline::sync {
namespace {

/// What a class like [[:alpha:]] may be called, and the bytes in it, in any locale.
struct NamedClass {
  std::string_view name;
  int (*holds)(int);
};
constexpr NamedClass named_classes[] = {
    {"alnum", std::isalnum}, {"alpha", std::isalpha}, {"blank", std::isblank}, {"cntrl", std::iscntrl},
    {"digit", std::isdigit}, {"graph", std::isgraph}, {"lower", std::islower}, {"print", std::isprint},
    {"punct", std::ispunct}, {"space", std::isspace}, {"upper", std::isupper}, {"xdigit", std::isxdigit},
};

[[noreturn]] void refuse(std::string_view pattern, const std::string& why) {
  throw std::invalid_argument("pattern \"" + printable(pattern) + "\" " + why);
}

/// Where the named class that begins at `at` ends; npos when none does.
std::size_t end_of_named(std::string_view text, std::size_t at) {
  if (text.substr(at, 2) != "[:") return std::string_view::npos;
  const std::size_t end = text.find(']', at + 2);
  return end == std::string_view::npos || end < at + 3 || text[end - 1] != ':' ? std::string_view::npos : end;
}

/// Where the class that begins behind a '[' ends.
std::size_t end_of_set(std::string_view text, std::size_t start) {
  std::size_t at = start;
  if (at < text.size() && (text[at] == '!' || text[at] == '^')) ++at;
  if (at < text.size() && text[at] == ']') ++at; // a ']' in the first place is a member
  while (at < text.size() && text[at] != ']') {
    const std::size_t named = end_of_named(text, at);
    at = named != std::string_view::npos ? named + 1 : at + (text[at] == '\\' ? 2 : 1);
  }
  if (at >= text.size()) refuse(text, "has a [ without its ]; the character itself is \\[");
  return at;
}

void add_named(std::string_view text, std::string_view name, std::vector<std::pair<char, char>>& ranges) {
  const auto* const found = std::find_if(std::begin(named_classes), std::end(named_classes),
                                         [&](const NamedClass& known) { return known.name == name; });
  if (found == std::end(named_classes)) refuse(text, "names the class [:" + printable(name) + ":], which nobody knows");
  for (int byte = 0; byte < 128; ++byte)
    if (found->holds(byte)) ranges.emplace_back(static_cast<char>(byte), static_cast<char>(byte));
}

} // namespace

bool Pattern::Token::takes(char seen) const noexcept {
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

Pattern::Pattern(std::string_view text, std::string base) : base_(std::move(base)) {
  if (text.empty() || text == "/") refuse(text, "matches nothing; it would be *, or a name");
  if (text.size() > bytes_max)
    throw std::invalid_argument("pattern of " + std::to_string(text.size()) + " bytes, more than " +
                                std::to_string(bytes_max));
  if (text.find('\0') != std::string_view::npos) refuse(text, "holds a zero byte");
  const bool begins_with_stars = text.starts_with("**");
  const bool has_two_stars = text.find("**") != std::string_view::npos;
  if (text.back() == '/') {
    directory_only_ = true;
    text.remove_suffix(1);
  }
  matches_below_ = text.ends_with("***");
  if (text.front() == '/') {
    begins_ = Begins::at_top;
    text.remove_prefix(1);
  } else if (begins_with_stars) {
    begins_ = Begins::at_top_or_slash;
  } else if (has_two_stars || text.find('/') != std::string_view::npos) {
    begins_ = Begins::at_any_component;
  }
  compile(parse(text));
}

std::vector<Pattern::Token> Pattern::parse(std::string_view text) {
  std::vector<Token> tokens;
  const bool is_wild = text.find_first_of("*?[") != std::string_view::npos; // else a backslash is a byte like others
  for (std::size_t at = 0; at < text.size(); ++at) {
    Token token;
    token.byte = text[at];
    switch (is_wild ? text[at] : '\0') {
      case '\\':
        if (at + 1 == text.size()) refuse(text, "ends in a backslash");
        token.byte = text[++at];
        break;
      case '?': token.kind = Token::Kind::any; break;
      case '*':
        token.kind = Token::Kind::star;
        while (at + 1 < text.size() && text[at + 1] == '*') {
          token.kind = Token::Kind::star_star;
          ++at;
        }
        break;
      case '[': {
        const std::size_t end = end_of_set(text, at + 1);
        token = parse_set(text, at + 1, end);
        at = end;
        break;
      }
      default: break;
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Pattern::Token Pattern::parse_set(std::string_view text, std::size_t at, std::size_t end) {
  Token token;
  token.kind = Token::Kind::set;
  if (text[at] == '!' || text[at] == '^') {
    token.negated = true;
    ++at;
  }
  while (at < end) {
    if (const std::size_t named = end_of_named(text, at); named != std::string_view::npos) {
      add_named(text, text.substr(at + 2, named - at - 3), token.ranges);
      at = named + 1;
      continue;
    }
    if (text[at] == '\\' && at + 1 < end) ++at;
    const char low = text[at++];
    char high = low;
    if (at + 1 < end && text[at] == '-') {
      at += text[at + 1] == '\\' && at + 2 < end ? 2 : 1;
      high = text[at++];
      // rsync takes the beginning of a range for a member by itself, which it is, unless the range is empty.
      if (static_cast<unsigned char>(high) < static_cast<unsigned char>(low)) token.ranges.emplace_back(low, low);
    }
    token.ranges.emplace_back(low, high);
  }
  return token;
}

void Pattern::compile(const std::vector<Token>& tokens) {
  constexpr std::size_t word_bits = 64;
  end_ = tokens.size();
  words_ = end_ / word_bits + 1;
  const auto set = [](Word* row, std::size_t at) { row[at / word_bits] |= Word{1} << (at % word_bits); };
  stars_.assign(words_, 0);
  for (std::size_t at = 0; at < end_; ++at)
    if (tokens[at].kind == Token::Kind::star || tokens[at].kind == Token::Kind::star_star) set(stars_.data(), at);

  std::vector<Word> row(words_);
  for (std::size_t byte = 0; byte < rows_.size(); ++byte) {
    std::fill(row.begin(), row.end(), 0);
    for (std::size_t at = 0; at < end_; ++at)
      if (tokens[at].takes(static_cast<char>(byte))) set(row.data(), at);
    std::size_t found = 0; // most bytes are equal to a pattern
    while (found < takes_.size() &&
           !std::equal(row.begin(), row.end(), takes_.begin() + static_cast<std::ptrdiff_t>(found)))
      found += words_;
    if (found == takes_.size()) takes_.insert(takes_.end(), row.begin(), row.end());
    rows_[byte] = static_cast<std::uint16_t>(found / words_);
  }
}

std::size_t Pattern::steps(std::string_view path) const noexcept {
  return 1 + words_ * (begins_ == Begins::at_name ? name_of(path).size() : path.size());
}

/// All places in the pattern at once, one byte of the path after the other: no backtracking. Of two stars side by side
/// the parser makes one, so that a place spreads over one star at most.
bool Pattern::matches(std::string_view path, bool is_directory) const {
  constexpr std::size_t words_max = bytes_max / 64 + 1;
  if (path.empty() || (directory_only_ && !is_directory)) return false;
  if (begins_ == Begins::at_name) path = name_of(path);
  if (begins_ == Begins::at_top && !base_.empty()) {
    if (!is_below(path, base_)) return false;
    path.remove_prefix(base_.size() + 1);
  }
  std::array<Word, words_max> here{};
  const auto spread = [&] { // a star may be nothing
    Word carry = 0;
    for (std::size_t i = 0; i < words_; ++i) {
      const Word starred = here[i] & stars_[i];
      here[i] |= (starred << 1) | carry;
      carry = starred >> 63;
    }
  };
  const auto advance = [&](char seen) {
    const Word* const taken = &takes_[rows_[static_cast<unsigned char>(seen)] * words_];
    Word carry = 0;
    for (std::size_t i = 0; i < words_; ++i) {
      const Word moved = here[i] & taken[i];
      const Word onward = moved & ~stars_[i];
      here[i] = (moved & stars_[i]) | (onward << 1) | carry;
      carry = onward >> 63;
    }
    if (seen == '/' && begins_ == Begins::at_any_component) here[0] |= 1;
    spread();
  };
  here[0] = 1;
  spread();
  if (begins_ == Begins::at_top_or_slash) advance('/');
  for (const char seen : path) advance(seen);
  if (matches_below_ && is_directory) advance('/');
  return (here[end_ / 64] >> (end_ % 64) & 1) != 0;
}

} // namespace trunkline::sync
