#include "services/sync/rule.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <iterator>
#include <stdexcept>

namespace trunkline::sync {
namespace {

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw std::invalid_argument("filter rule \"" + printable(text) + "\" " + why);
}

struct Word {
  std::string_view name;
  char letter;
};
constexpr Word words[] = {{"exclude", '-'}, {"include", '+'}, {"hide", 'H'},  {"show", 'S'},     {"protect", 'P'},
                          {"risk", 'R'},    {"clear", '!'},   {"merge", '.'}, {"dir-merge", ':'}};

/// The letter of a rule and what stands behind it.
char take_letter(std::string_view& rest) {
  const std::size_t end = rest.find_first_of(", _");
  const std::string_view name = rest.substr(0, end);
  for (const Word& word : words) {
    if (word.name != name) continue;
    rest.remove_prefix(name.size());
    return word.letter;
  }
  const char letter = rest.empty() ? '\0' : rest.front();
  rest.remove_prefix(std::min<std::size_t>(1, rest.size()));
  return letter;
}

void take_modifier(RuleLine& line, char modifier, char letter, std::string_view text) {
  Rule& rule = line.rule;
  const bool is_file = letter == '.' || letter == ':';
  switch (modifier) {
    case '!':
      if (is_file) break;
      rule.negated = true;
      return;
    case 'p': rule.perishable = true; return;
    case 's':
    case 'r':
      if (letter != '-' && letter != '+' && !is_file) break;
      rule.for_giver = modifier == 's';
      rule.for_taker = modifier == 'r';
      return;
    case '-':
    case '+':
      if (!is_file) break;
      line.patterns_only = true;
      rule.kind = modifier == '-' ? Rule::Kind::exclude : Rule::Kind::include;
      return;
    case 'w':
      if (!is_file) break;
      line.words = true;
      return;
    case 'e':
      if (!is_file) break;
      rule.hides_file = true;
      return;
    case 'n':
      if (!is_file) break;
      rule.inherited = false;
      return;
    default: break;
  }
  const bool known = modifier == '/' || modifier == 'C' || modifier == 'x';
  refuse(text, std::string("has the modifier ") + printable(std::string(1, modifier)) +
                   (known ? ", which is not spoken here" : ", which this rule does not have"));
}

RuleLine with_pattern(RuleLine line, std::string_view text, std::string_view pattern) {
  if (pattern.empty()) refuse(text, "names nothing");
  line.rule.pattern = pattern;
  return line;
}

} // namespace

std::vector<Rule> excluding(const std::vector<std::string>& patterns) {
  std::vector<Rule> rules;
  for (const std::string& pattern : patterns) {
    Rule rule;
    rule.pattern = pattern;
    rules.push_back(std::move(rule));
  }
  return rules;
}

RuleLine parse_rule(std::string_view text) {
  std::string_view rest = text;
  RuleLine line;
  const char letter = take_letter(rest);
  switch (letter) {
    case '-': break;
    case '+': line.rule.kind = Rule::Kind::include; break;
    case 'S': line.rule.kind = Rule::Kind::include; [[fallthrough]];
    case 'H': line.rule.for_taker = false; break;
    case 'R': line.rule.kind = Rule::Kind::include; [[fallthrough]];
    case 'P': line.rule.for_giver = false; break;
    case '.': line.what = RuleLine::What::merge; break;
    case ':': break;
    case '!':
      if (!rest.empty()) refuse(text, "says more than to begin again");
      line.what = RuleLine::What::clear;
      return line;
    default:
      refuse(text,
             "begins with none of - + H S P R . : ! nor with exclude, include, hide, show, protect, risk, merge, "
             "dir-merge, clear");
  }
  if (rest.starts_with(',')) rest.remove_prefix(1);
  while (!rest.empty() && rest.front() != ' ' && rest.front() != '_') {
    take_modifier(line, rest.front(), letter, text);
    rest.remove_prefix(1);
  }
  if (!rest.empty()) rest.remove_prefix(1);
  if (letter == '.') {
    if (rest.empty()) refuse(text, "names no file");
    line.file = rest;
    return line;
  }
  if (letter == ':') {
    // A file of patterns alone would have to be told apart on the wire; nobody has asked for it yet.
    if (line.patterns_only || line.words) refuse(text, "has a modifier that is only spoken for merge here");
    line.rule.kind = Rule::Kind::per_directory;
    if (rest.starts_with('/')) rest.remove_prefix(1); // above the tree nothing is looked at, with or without it
    if (rest.find('/') != std::string_view::npos) refuse(text, "names a file in another directory");
  }
  return with_pattern(std::move(line), text, rest);
}

RuleLine parse_pattern_rule(std::string_view text, Rule::Kind kind) {
  RuleLine line;
  line.rule.kind = kind;
  if (text == "!") {
    line.what = RuleLine::What::clear;
    return line;
  }
  std::string_view pattern = text;
  if (text.starts_with("- ") || text.starts_with("+ ")) {
    line.rule.kind = text.front() == '-' ? Rule::Kind::exclude : Rule::Kind::include;
    pattern.remove_prefix(2);
  }
  return with_pattern(std::move(line), text, pattern);
}

std::vector<std::string> rule_lines(std::string_view content, bool zeros, bool by_words) {
  std::vector<std::string> lines;
  constexpr std::string_view blanks = " \t\n\v\f\r";
  const std::string_view ends = zeros ? std::string_view("\0", 1) : by_words ? blanks : std::string_view("\n\r");
  while (!content.empty()) {
    const std::size_t end = content.find_first_of(ends);
    const std::string_view line = content.substr(0, end);
    content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
    if (!line.empty() && (by_words || (line.front() != '#' && line.front() != ';'))) lines.emplace_back(line);
  }
  return lines;
}

FileRules parse_file_rules(std::string_view content, const Rule& merge) {
  FileRules file;
  for (const std::string& text : rule_lines(content, false, false)) {
    RuleLine line = parse_rule(text);
    switch (line.what) {
      case RuleLine::What::clear:
        file.clears = true;
        file.rules.clear();
        continue;
      case RuleLine::What::merge: refuse(text, "merges another file, which a file of a directory may not");
      case RuleLine::What::rule: break;
    }
    if (line.rule.kind == Rule::Kind::per_directory)
      refuse(text, "merges another file, which a file of a directory may not");
    // The merging rule says for which side its file is.
    line.rule.for_giver = line.rule.for_giver && merge.for_giver;
    line.rule.for_taker = line.rule.for_taker && merge.for_taker;
    line.rule.perishable = line.rule.perishable || merge.perishable;
    file.rules.push_back(std::move(line.rule));
  }
  return file;
}

} // namespace trunkline::sync
