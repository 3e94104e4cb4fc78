#include "services/sync/selection.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <stdexcept>

namespace trunkline::sync {
namespace {

/// "./a//b/" is "a/b".
std::string cleaned(std::string_view text) {
  std::string path;
  while (!text.empty()) {
    const std::size_t slash = text.find('/');
    const std::string_view component = text.substr(0, slash);
    text.remove_prefix(slash == std::string_view::npos ? text.size() : slash + 1);
    if (component.empty() || component == ".") continue;
    path = join(path, component);
  }
  return path;
}

} // namespace

Selection::Selection(const std::vector<std::string>& paths) {
  for (const std::string& text : paths) {
    const std::string path = cleaned(text);
    const std::string wrong = wrong_with_path(path);
    if (!wrong.empty()) throw std::invalid_argument("path \"" + printable(text) + "\" " + wrong);
    if (path.empty()) continue; // the tree itself, which is there
    paths_[path] = State::named;
    for (std::string_view parent = parent_of(path); !parent.empty(); parent = parent_of(parent))
      if (!paths_.emplace(parent, State::leads).second) break;
  }
}

bool Selection::holds(std::string_view path) const { return paths_.contains(std::string(path)); }

void Selection::found(std::string_view path) {
  const auto at = paths_.find(std::string(path));
  if (at != paths_.end() && at->second == State::named) at->second = State::found;
}

std::vector<std::string> Selection::missing() const {
  std::vector<std::string> missing;
  for (const auto& [path, state] : paths_)
    if (state == State::named) missing.push_back(path);
  std::sort(missing.begin(), missing.end());
  return missing;
}

} // namespace trunkline::sync
