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
    const bool is_new = !paths_.contains(path);
    paths_[path].is_named = true;
    if (!is_new) continue;
    for (std::string_view parent = parent_of(path); !parent.empty(); parent = parent_of(parent)) {
      const bool was_there = paths_.contains(std::string(parent));
      ++paths_[std::string(parent)].leads;
      if (was_there) break;
    }
  }
}

bool Selection::holds(std::string_view path) const { return paths_.contains(std::string(path)); }

bool Selection::leads(std::string_view path) const {
  const auto at = paths_.find(std::string(path));
  return at != paths_.end() && at->second.leads > 0;
}

std::vector<std::string> Selection::named() const {
  std::vector<std::string> named;
  for (const auto& [path, place] : paths_)
    if (place.is_named) named.push_back(path);
  return named;
}

void Selection::drop(const std::string& path) {
  auto at = paths_.find(path);
  if (at == paths_.end()) return;
  at->second.is_named = false;
  while (at != paths_.end() && !at->second.is_named && at->second.leads == 0) {
    const std::string parent(parent_of(at->first));
    paths_.erase(at);
    at = paths_.find(parent);
    if (at != paths_.end()) --at->second.leads;
  }
}

void Selection::found(std::string_view path) {
  const auto at = paths_.find(std::string(path));
  if (at != paths_.end()) at->second.is_found = true;
}

std::vector<std::string> Selection::missing() const {
  std::vector<std::string> missing;
  for (const auto& [path, place] : paths_)
    if (place.is_named && !place.is_found) missing.push_back(path);
  std::sort(missing.begin(), missing.end());
  return missing;
}

} // namespace trunkline::sync
