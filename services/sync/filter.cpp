#include "services/sync/filter.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace trunkline::sync {

Filter::Filter(const std::vector<Rule>& rules, bool delete_excluded) : delete_excluded_(delete_excluded) {
  if (rules.size() > rules_max)
    throw std::invalid_argument(std::to_string(rules.size()) + " filter rules, more than " + std::to_string(rules_max));
  std::size_t bytes = 0;
  for (const Rule& rule : rules) {
    bytes += rule.pattern.size();
    if (bytes > patterns_bytes_max)
      throw std::invalid_argument("filter rules of more than " + std::to_string(patterns_bytes_max) +
                                  " bytes together, at \"" + printable(rule.pattern) + "\"");
    if (rule.kind != Rule::Kind::per_directory) {
      rules_.push_back(compile(rule, {}, delete_excluded));
      continue;
    }
    if (rule.pattern.empty() || rule.pattern == "." || rule.pattern == ".." || rule.pattern.size() > name_bytes_max ||
        rule.pattern.find_first_of(std::string_view("/\0", 2)) != std::string::npos)
      throw std::invalid_argument("\"" + printable(rule.pattern) + "\" is no name of a file with rules");
    if (rule.hides_file) {
      Rule hidden;
      for (const char letter : rule.pattern) { // the name itself, not what it would mean as a pattern
        if (std::string_view("*?[\\").find(letter) != std::string_view::npos) hidden.pattern += '\\';
        hidden.pattern += letter;
      }
      rules_.push_back(compile(hidden, {}, delete_excluded));
    }
    Compiled file;
    file.rule = rule;
    file.file = files_.size();
    rules_.push_back(std::move(file));
    files_.push_back(rule);
  }
}

Filter::Compiled Filter::compile(const Rule& rule, const std::string& base, bool delete_excluded) {
  Compiled compiled;
  compiled.rule = rule;
  if (delete_excluded && rule.for_giver) compiled.rule.for_taker = false;
  compiled.pattern.emplace(rule.pattern, base);
  return compiled;
}

Filter::Verdict Filter::Compiled::judge(const Question& question) const {
  if (!(question.side == Side::giver ? rule.for_giver : rule.for_taker)) return Verdict::none;
  if (rule.perishable && question.deleted) return Verdict::none;
  if (pattern->matches(question.path, question.is_directory) == rule.negated) return Verdict::none;
  return rule.kind == Rule::Kind::include ? Verdict::include : Verdict::exclude;
}

Filter::Verdict Filter::judge(const Question& question, const DirectoryRules* local) const {
  for (const Compiled& compiled : rules_) {
    if (!compiled.pattern && !local) return Verdict::unknown;
    const Verdict verdict = compiled.pattern ? compiled.judge(question) : local->judge(question, compiled.file);
    if (verdict != Verdict::none) return verdict;
  }
  return Verdict::none;
}

bool Filter::hides(std::string_view path, bool is_directory, const DirectoryRules& local) const {
  return judge({path, is_directory, Side::giver, false}, &local) == Verdict::exclude;
}

bool Filter::protects(std::string_view path, bool is_directory, const DirectoryRules& local, bool deleted) const {
  return judge({path, is_directory, Side::taker, deleted}, &local) == Verdict::exclude;
}

bool Filter::hides(std::string_view path, bool is_directory) const {
  return judge({path, is_directory, Side::giver, false}, nullptr) == Verdict::exclude;
}

bool Filter::leaves_alone(std::string_view path, bool is_directory) const {
  return hides(path, is_directory) && judge({path, is_directory, Side::taker, true}, nullptr) == Verdict::exclude &&
         judge({path, is_directory, Side::taker, false}, nullptr) == Verdict::exclude;
}

std::size_t Filter::steps(std::string_view path) const noexcept {
  std::size_t steps = 0;
  for (const Compiled& compiled : rules_) steps += compiled.pattern ? compiled.pattern->steps(path) : 1;
  return steps;
}

void DirectoryRules::enter(const std::string& directory, const Read& read) {
  if (filter_.files().empty()) return;
  while (!levels_.empty() && levels_.back().directory != directory && !is_below(directory, levels_.back().directory))
    levels_.pop_back();
  if (!levels_.empty() && levels_.back().directory == directory) return;
  Level level;
  level.directory = directory;
  for (const Rule& merge : filter_.files()) {
    File file;
    if (const std::optional<std::string> content = read(directory, merge.pattern)) {
      const std::string path = join(directory, merge.pattern);
      if (content->size() > Filter::file_bytes_max)
        throw std::invalid_argument("\"" + printable(path) + "\" has " + std::to_string(content->size()) +
                                    " bytes, more than " + std::to_string(Filter::file_bytes_max));
      try {
        const FileRules parsed = parse_file_rules(*content, merge);
        if (parsed.rules.size() > Filter::rules_max)
          throw std::invalid_argument("more than " + std::to_string(Filter::rules_max) + " filter rules");
        file.clears = parsed.clears;
        for (const Rule& rule : parsed.rules)
          file.rules.push_back(Filter::compile(rule, directory, filter_.delete_excluded_));
      } catch (const std::invalid_argument& refused) {
        throw std::invalid_argument("\"" + printable(path) + "\": " + refused.what());
      }
    }
    level.files.push_back(std::move(file));
  }
  levels_.push_back(std::move(level));
}

void DirectoryRules::enter_all(const std::string& directory, const Read& read) {
  if (filter_.files().empty()) return;
  while (!levels_.empty() && levels_.back().directory != directory && !is_below(directory, levels_.back().directory))
    levels_.pop_back();
  std::vector<std::string> missing;
  for (std::string_view at = directory; levels_.empty() || levels_.back().directory != at; at = parent_of(at)) {
    missing.emplace_back(at);
    if (at.empty()) break;
  }
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) enter(*at, read);
}

Filter::Verdict DirectoryRules::judge(const Filter::Question& question, std::size_t file) const {
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    for (const Filter::Compiled& compiled : level->files[file].rules) {
      const Filter::Verdict verdict = compiled.judge(question);
      if (verdict != Filter::Verdict::none) return verdict;
    }
    if (level->files[file].clears || !filter_.files()[file].inherited) break;
  }
  return Filter::Verdict::none;
}

std::size_t DirectoryRules::steps(std::string_view path) const noexcept {
  std::size_t steps = 0;
  for (const Level& level : levels_)
    for (const File& file : level.files)
      for (const Filter::Compiled& compiled : file.rules) steps += compiled.pattern->steps(path);
  return steps;
}

} // namespace trunkline::sync
