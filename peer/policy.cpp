#include "peer/policy.hpp"

#include "fragment/error.hpp"
#include "fragment/quote.hpp"
#include "transport/guarded_file.hpp"
#include "transport/known_nodes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <utility>

namespace trunkline {
namespace {

constexpr std::string_view file_kind = "policy file";

std::vector<std::string_view> words_in(std::string_view line) {
  std::vector<std::string_view> words;
  for (;;) {
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos || line[begin] == '#') return words;
    line.remove_prefix(begin);
    words.push_back(line.substr(0, line.find_first_of(" \t\r")));
    line.remove_prefix(words.back().size());
  }
}

} // namespace

Policy Policy::parse(std::string_view text, const std::string& path) {
  Policy policy;
  policy.path_ = path;
  std::map<std::string, std::vector<Who>, std::less<>> groups;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const auto fail = [&](const std::string& why) {
      throw_error(error::unusable_file, fmt::format("{} {} line {}: {}", file_kind, quote(path), number, why));
    };
    const auto add = [&](std::string_view word, std::vector<Who>& into, bool in_group) {
      if (word.starts_with('@')) {
        const auto group = groups.find(word.substr(1));
        if (group == groups.end()) fail("the group " + quote(word) + " is not defined above");
        into.insert(into.end(), group->second.begin(), group->second.end());
        return;
      }
      Who who;
      if (const std::optional<NodeId> id = NodeId::parse(word); id && !id->empty()) {
        who.id = *id;
      } else if (!in_group && word == "*") {
        who.kind = Who::Kind::proven;
      } else if (!in_group && word == "certified") {
        who.kind = Who::Kind::certified;
      } else if (!in_group && word == "anyone") {
        who.kind = Who::Kind::anyone;
      } else if (KnownNodes::is_name(word)) {
        who.kind = Who::Kind::name;
        who.name = word;
      } else {
        fail("expected a node's id, the name of a known node or @GROUP, saw " + quote(word));
      }
      into.push_back(std::move(who));
    };

    const std::vector<std::string_view> words = words_in(line);
    if (words.empty()) continue;
    if (words[0] == "group") {
      if (words.size() < 3) fail("expected group NAME MEMBER...");
      if (!KnownNodes::is_name(words[1])) fail("expected the name of a group, saw " + quote(words[1]));
      std::vector<Who>& members = groups[std::string(words[1])];
      if (!members.empty()) fail("the group " + quote(words[1]) + " is defined above");
      for (std::size_t at = 2; at < words.size(); ++at) add(words[at], members, true);
    } else if (words[0] == "allow") {
      const auto to = std::ranges::find(words, std::string_view("to"));
      if (to - words.begin() < 2 || words.end() - to < 2) fail("expected allow WHO... to SERVICE...");
      Rule rule;
      for (auto word = words.begin() + 1; word != to; ++word) add(*word, rule.who, false);
      rule.services.assign(to + 1, words.end());
      policy.rules_.push_back(std::move(rule));
    } else {
      fail("expected group or allow first, saw " + quote(words[0]));
    }
  }
  return policy;
}

Policy Policy::load(const std::string& path) {
  const std::optional<std::string> text = read_guarded(path, file_kind, Guard::unchanged);
  if (!text) throw_error(error::unusable_file, fmt::format("{} {}: there is none", file_kind, quote(path)));
  return parse(*text, path);
}

bool Policy::is_meant(const Who& rule, const RemoteIdentity* who) {
  switch (rule.kind) {
    case Who::Kind::anyone: return true;
    case Who::Kind::proven: return who != nullptr;
    case Who::Kind::certified: return who && !who->certified.empty();
    case Who::Kind::name: return who && who->name == rule.name;
    case Who::Kind::id: return who && who->is(rule.id);
  }
  return false;
}

Permission Policy::operator()(const RemoteIdentity* who, std::string_view service) const {
  for (const Rule& rule : rules_) {
    const auto names = [service](const std::string& name) { return name == "*" || name == service; };
    const auto means = [who](const Who& one) { return is_meant(one, who); };
    if (std::ranges::any_of(rule.services, names) && std::ranges::any_of(rule.who, means)) return Permission::yes();
  }
  return Permission::no("no line of " + path_ + " allows it");
}

} // namespace trunkline
